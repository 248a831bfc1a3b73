"""Images and masks at network size, with the papers' two preparations where they are wanted.

Noise reduction: the first paper cites a procedure and does not describe it; ours
is a median over 5 x 5 pixels, the usual one against speckle. Background removal:
what the second paper describes, as the node's own cleaning does it (non-zero or
modal background, erosion and dilation, largest component).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.networks.letterbox import fit
from cad_node.pipeline.clean.regions import without_background
from cad_node.train.data import Sample, fingerprint, read_image, read_union

MEDIAN_PX = 5


class Squares:
    """Squares of all samples, made once and kept on disk.

    Attributes
    ----------
    images, masks
        uint8 `(samples, size, size)`; masks are 0 to 255.
    place
        Index by image name.
    """

    def __init__(
        self,
        folder: Path,
        samples: Sequence[Sample],
        size: int,
        cache: Path,
        denoise: bool = False,
        remove_background: bool = False,
    ) -> None:
        how = f"{folder.resolve()}:{size}:{denoise}:{remove_background}\n{fingerprint(samples)}"
        kept = cache / hashlib.sha256(how.encode()).hexdigest()[:16]
        self.place = {sample.image: index for index, sample in enumerate(samples)}
        if not (kept / "complete").exists():
            kept.mkdir(parents=True, exist_ok=True)
            pairs = [_square(folder, sample, size, denoise, remove_background) for sample in samples]
            np.save(kept / "images.npy", np.stack([image for image, _ in pairs]))
            np.save(kept / "masks.npy", np.stack([mask for _, mask in pairs]))
            (kept / "complete").touch()
        self.images: NDArray[np.uint8] = np.load(kept / "images.npy", mmap_mode="r")
        self.masks: NDArray[np.uint8] = np.load(kept / "masks.npy", mmap_mode="r")


def _square(
    folder: Path, sample: Sample, size: int, denoise: bool, remove_background: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    pixels = read_image(folder, sample)
    mask = read_union(folder, sample, (pixels.shape[0], pixels.shape[1])).astype(np.uint8) * np.uint8(255)
    if remove_background:
        pixels, mask = cut_background(pixels, mask)
    if denoise:
        pixels = without_noise(pixels)
    box = fit(pixels, size)
    return box.apply(pixels), box.apply(mask)


def without_noise(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with its speckle smoothed and its edges kept."""
    return np.asarray(cv2.medianBlur(pixels, MEDIAN_PX), dtype=np.uint8)


def cut_background(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image and mask cut to the picture on the screen; untouched where no screen shows or a lesion would be cut."""
    box = without_background(pixels)
    if box is None:
        return pixels, mask
    inside = (slice(box.row_start, box.row_stop), slice(box.column_start, box.column_stop))
    if np.count_nonzero(mask[inside]) < np.count_nonzero(mask):
        return pixels, mask
    return np.ascontiguousarray(pixels[inside]), np.ascontiguousarray(mask[inside])
