"""How long it takes to write down a study: 20 images with two lesions each.

The aim is under two seconds on two cores. Times are the CPU's, of one process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cad_node.encode import encode_study, load_templates, render_preview
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings
from cad_node.variants import KINDS, Variant
from tests.factories import us_cine, us_study
from tests.results import BENIGN, LARGE, MADE_AT, MALIGNANT, SMALL, analysed, study

IMAGES = 20
CINE_FRAMES = 100


def main() -> None:
    templates = load_templates(templates_dir())
    sources = us_study(images=IMAGES, rows=600, columns=800)
    for number, source in enumerate(sources, start=1):
        source.InstanceNumber = number
    lesions = [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]
    result = study(*(analysed(source, {1: lesions}) for source in sources))
    cine = us_cine(frames=CINE_FRAMES, rows=600, columns=800)
    loop = study(analysed(cine, dict.fromkeys(range(1, CINE_FRAMES + 1), lesions)))

    def encode(what: object, of: list[object], *kinds: str, **choice: str) -> None:
        headers = {str(one.SOPInstanceUID): one for one in of}
        settings = ResultSettings(**choice)
        variants = [Variant.of(kind, settings) for kind in kinds or ("seg", "sr")]
        encode_study(
            what,
            headers,
            templates=templates,
            settings=settings,
            variants=variants,
            previews=previews,
            made_at=MADE_AT,
        )

    # Drawn once for the folder of every study, whatever is sent.
    previews = {
        one.reference.sop_instance_uid: render_preview(one, templates)
        for one in (*result.images, *loop.images)
    }
    report("first object (loads the standard's tables)", lambda: encode(study(result.images[0]), sources[:1]))
    report(f"SEG and SR of {IMAGES} images with 2 lesions each", lambda: encode(result, sources))
    report(f"SEG and SR of a loop of {CINE_FRAMES} frames with 2 lesions", lambda: encode(loop, [cine]))
    for kind in KINDS:
        report(f"{kind} alone, {IMAGES} images", lambda kind=kind: encode(result, sources, kind))
    for seg_type in ("fractional", "labelmap"):
        report(
            f"seg alone, {seg_type}, RLE, {IMAGES} images",
            lambda seg_type=seg_type: encode(
                result, sources, "seg", seg_type=seg_type, transfer_syntax="rle"
            ),
        )
    report(f"every kind of object of {IMAGES} images", lambda: encode(result, sources, *KINDS))
    report("one preview", lambda: render_preview(result.images[0], templates))


def report(name: str, work: Callable[[], object]) -> None:
    started = time.process_time()
    work()
    print(f"{time.process_time() - started:7.2f} s  {name}")


if __name__ == "__main__":
    main()
