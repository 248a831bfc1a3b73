"""`cad-node explain`: what is done to an image, told by the code that does it."""

from __future__ import annotations

from rich.console import Console

from cad_node.cli.options import Config
from cad_node.logs import quiet_libraries
from cad_node.settings import NodeSettings, load_settings


def explain(config: Config = None) -> None:
    """Print what is done to an image, step by step, under these settings."""
    quiet_libraries()
    settings = load_settings(config)
    console = Console(soft_wrap=True, highlight=False)
    for number, step in enumerate(explanation(settings), start=1):
        console.print(f"{number:2d}. {step}", markup=False)


def explanation(settings: NodeSettings) -> list[str]:
    """One sentence a step, in order, from the rooms themselves."""
    from cad_node.networks.bundle import load_bundle
    from cad_node.pipeline.segment import SMALLEST_SHARE
    from cad_node.pipeline.square import NEARLY_SQUARE
    from cad_node.pipeline.track import FEWEST_SIGHTINGS, SAME_LESION_IOU, SHORTEST_LOOP
    from cad_node.process import find_model, load_cleaner

    bundle = load_bundle(find_model(settings))
    pipeline = settings.pipeline
    veto = bundle.normal_veto if pipeline.normal_veto is None else pipeline.normal_veto
    completion = settings.completion
    asked = [d.name for d in settings.destinations if getattr(d, "storage_commitment", False)]
    commitment = (
        [f"Confirm: {', '.join(asked)} is asked whether it keeps them; what is missing there is sent again."]
        if asked
        else []
    )
    return [
        "Receive: the bytes are stored as the sender sent them and synced to disk before success is answered.",
        f"Complete: a study is closed after {completion.quiet_time_s:g} s without a new instance, "
        f"or {completion.forced_end_s:g} s after its first.",
        "Decode: every frame to 8-bit grey or RGB as a viewer first shows it (look-up tables, window, palette); the "
        "source is never changed.",
        "Gate: colour Doppler, spectral and M-mode, elastography, volumes, video, images without pixel data, "
        "undecodable ones and what is not ultrasound are answered with 'not analysed' and the reason.",
        *load_cleaner(settings).describe(),
        f"Segment: {bundle.name} {bundle.version} ({bundle.sha256[:12]}…) over the cleaned tissue region, "
        "each picture of a split screen by itself; pixels are made square where height and width differ by more "
        f"than {NEARLY_SQUARE:.0%}; a pixel is lesion from probability {bundle.threshold:g} on; findings below "
        f"{SMALLEST_SHARE:.2%} of the picture or {pipeline.smallest_lesion_mm2:g} mm² are dropped.",
        "Classify: normal, benign, malignant for each lesion under its own mask, and for the frame as a whole, "
        f"with probabilities calibrated at temperature {bundle.temperature:.2f}; a finding that is normal with at "
        f"least {veto:g} is dropped"
        + (f"; a class below {bundle.abstain_below:g} is not named." if bundle.abstain_below else "."),
        f"Cine: lesions that overlap by {SAME_LESION_IOU:g} (intersection over union) from frame to frame are one; "
        f"in loops of {SHORTEST_LOOP} frames or more, those seen in fewer than {FEWEST_SIGHTINGS} are dropped.",
        "Measure: long axis, the axis perpendicular to it, area and orientation, in mm by the calibration of the "
        "tissue region, in pixels where there is none; what the edge of the picture cuts is said to be cut.",
        f"Encode: one SEG an image with lesions, one TID 1500 report a study ({settings.results.sr_class}), "
        "with UIDs derived from sources, model and settings; checked before they are stored.",
        "Deliver: stored first, then sent to " + ", ".join(d.name for d in settings.destinations) + ".",
        *commitment,
    ]
