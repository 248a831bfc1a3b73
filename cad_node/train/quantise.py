"""Eight-bit copies of an exported lesion network: which layers, in which ranges, and what stays in float.

What decides the loss was found on images that the model has learned from; `docs/mobile.md`
has the figures:

- A clamp (ReLU, ReLU6) is quantised together with the convolution before it. Ranges
  measured before the clamp spend most of their 256 steps on values that it takes away.
- The encoder's first blocks compute in float: few weights, but every later layer lives on them.
- The class head computes in float; the weights of its wide layer are stored in eight bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cad_node.errors import SettingsError
from cad_node.networks.letterbox import fit
from cad_node.networks.onnx_network import INPUTS
from cad_node.networks.runtime import to_input
from cad_node.train.data import Sample, read_image, read_union

CALIBRATION_IMAGES = 96

_IN_FLOAT = re.compile(r"/encoder/_blocks\.[0-3]/")
_CLAMPS = ("Clip", "Relu")
# Smaller matrices are not worth a node of their own.
_STORED_FROM = 10_000


def calibration_squares(folder: Path, samples: Sequence[Sample], size: int) -> list[tuple[Tensor, Tensor]]:
    """Images and drawn masks at network size, evenly drawn from `samples`."""
    step = max(1, len(samples) // CALIBRATION_IMAGES)
    pairs = []
    for sample in sorted(samples, key=lambda s: s.image)[::step][:CALIBRATION_IMAGES]:
        pixels = read_image(folder, sample)
        box = fit(pixels, size)
        drawn = read_union(folder, sample, (pixels.shape[0], pixels.shape[1])).astype(np.float32)
        pairs.append((to_input(box.apply(pixels)[None]), torch.from_numpy(box.apply(drawn))[None, None]))
    return pairs


def quantise(source: Path, target: Path, squares: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Write an int8 copy of an ONNX file, its ranges measured on images and masks at network size.

    Weights by output channel, activations by tensor, from the smallest to the largest value.

    Raises
    ------
    SettingsError
        The `onnx` package is not installed.
    """
    onnx = import_onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, Any]] = (
                {name: value.numpy() for name, value in zip(INPUTS, pair, strict=True)} for pair in squares
            )

        def get_next(self) -> dict[str, Any] | None:
            return next(self._feeds, None)

    with TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *_CLAMPS],
            nodes_to_quantize=_quantised_nodes(onnx.load(str(ready)).graph),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    properties = {entry.key: entry.value for entry in onnx.load(str(source)).metadata_props}
    model = onnx.load(str(target))
    _store_matrices(model.graph)
    onnx.helper.set_model_props(model, {**properties, "precision": "int8"})
    onnx.save(model, str(target))


def _quantised_nodes(graph: Any) -> list[str]:
    """Names of the convolutions that are quantised, and of the clamps on their outputs."""
    made_by = {name: node for node in graph.node for name in node.output}
    chosen = [n.name for n in graph.node if n.op_type == "Conv" and not _IN_FLOAT.search(n.name)]
    known = set(chosen)
    for node in graph.node:
        if node.op_type in _CLAMPS and (before := made_by.get(node.input[0])) and before.name in known:
            chosen.append(node.name)
    return chosen


def _store_matrices(graph: Any) -> None:
    """Keep the weights of wide linear layers in eight bits, by output; they are widened when the file is run."""
    from onnx import helper, numpy_helper

    weights = {entry.name: entry for entry in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Gemm"]:
        entry = weights[node.input[1]]
        values = numpy_helper.to_array(entry)  # (outputs, inputs): torch's linear layers are transposed
        if values.size < _STORED_FROM:
            continue
        scale = np.maximum(np.abs(values).max(axis=1), 1e-12).astype(np.float32) / 127
        steps = np.round(values / scale[:, None]).astype(np.int8)
        name = entry.name
        graph.initializer.remove(entry)
        graph.initializer.extend(
            [numpy_helper.from_array(steps, f"{name}_steps"), numpy_helper.from_array(scale, f"{name}_scale")]
        )
        widen = helper.make_node(
            "DequantizeLinear", [f"{name}_steps", f"{name}_scale"], [name], f"{node.name}_widen", axis=0
        )
        graph.node.insert(0, widen)


def import_onnx() -> Any:
    """The `onnx` package, which only the export needs.

    Raises
    ------
    SettingsError
        It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise SettingsError(
            "Writing ONNX needs the onnx package, and it is not installed.",
            "Run pip install 'cad-node[train]'.",
        ) from error
    return onnx
