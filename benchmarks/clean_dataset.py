"""Write cleaned copies of a data set, for training and scoring without burnt-in marks.

    python -m benchmarks.clean_dataset --data DIR --output DIR [--fold 5] [--workers 2]

`DIR` lies in any layout that can be trained on. The copies keep name and size, are
grey PNG, and lie under `--output`; those of DICOM are of the tissue region, as it is learned from. Images that
are there already are skipped, so a run can be interrupted and started again. An
image on which text can still be read gets no copy; the run counts them and names them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from pathlib import Path

import cv2
import numpy as np

from cad_node.domain import Frame, ImageReference
from cad_node.errors import CleaningError
from cad_node.pipeline.clean import Cleaner
from cad_node.process import load_cleaner
from cad_node.settings import NodeSettings, RuntimeSettings
from cad_node.train.data import Sample, clean_path, read_rows
from cad_node.train.sources.dicom_picture import DicomPicture

_cleaner: Cleaner | None = None


def frame_of(path: Path) -> Frame:
    """The picture in a file, as if it were a frame without region calibration."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(path)
    coloured = bool((picture.max(axis=2) != picture.min(axis=2)).any())
    pixels = picture[..., ::-1].copy() if coloured else picture[..., 0].copy()
    rows, columns = pixels.shape[:2]
    reference = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", rows, columns, 1)
    return Frame(reference, 1, pixels)


def clean_one(task: tuple[Path, Sample, Path]) -> tuple[str, int | None]:
    """Clean one image into a file; returns its name and the number of marks, None where none was written."""
    global _cleaner  # noqa: PLW0603  one engine a process
    folder, sample, target = task
    if _cleaner is None:
        cv2.setNumThreads(1)
        _cleaner = load_cleaner(NodeSettings(runtime=RuntimeSettings(threads=1)))
    is_dicom = isinstance(sample.picture, DicomPicture)
    frame = sample.picture.frame(folder) if is_dicom else frame_of(folder / sample.image)
    try:
        clean = next(iter(_cleaner.clean_image([frame])))
    except CleaningError:
        return sample.image, None
    pixels = clean.pixels[sample.picture.region(folder).slices] if is_dicom else clean.pixels
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.png")
    cv2.imwrite(str(unfinished), np.ascontiguousarray(pixels))
    unfinished.replace(target)
    return sample.image, len(clean.annotations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--fold", type=int, help="only this fold")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    samples = [row.sample for row in read_rows(options.data) if options.fold in (None, row.sample.fold)]
    # The test fold first: what waits for it can start.
    samples.sort(key=lambda sample: (sample.fold != 5, sample.image))
    tasks = [(options.data, sample, clean_path(options.output, sample)) for sample in samples]
    todo = [task for task in tasks if not task[2].exists()]
    print(f"{len(tasks)} images, {len(tasks) - len(todo)} done before", flush=True)
    started = time.monotonic()
    marks = 0
    refused: list[str] = []
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for number, (image, found) in enumerate(pool.imap_unordered(clean_one, todo, chunksize=4), start=1):
            marks += found or 0
            if found is None:
                refused.append(image)
            if number % 50 == 0 or number == len(todo):
                rate = number / (time.monotonic() - started)
                left = (len(todo) - number) / rate
                print(
                    f"{number}/{len(todo)}  {rate:.2f} images/s  {marks} marks  {len(refused)} refused  "
                    f"{left / 60:.1f} min left",
                    flush=True,
                )
    for image in sorted(refused):
        print(f"no copy, could not be cleaned: {image}")


if __name__ == "__main__":
    main()
