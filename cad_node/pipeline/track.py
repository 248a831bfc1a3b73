"""Which finding of a frame is the same lesion as one of the frame before.

Greedy overlap: probes move little from frame to frame (25-40 ms), so a lesion
overlaps itself. What is seen too briefly to be believed is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.pipeline.segment import Finding

# Two masks of neighbouring frames are one lesion from this intersection over union on.
SAME_LESION_IOU = 0.2
# A lesion may be lost for so many frames and still be the same one.
LONGEST_GAP = 5
# In loops of at least so many frames, a lesion must be seen in at least three of them.
SHORTEST_LOOP = 8
FEWEST_SIGHTINGS = 3


@dataclass
class _Track:
    number: int
    mask: NDArray[np.bool_]
    last_seen: int


def number_lesions(frames: Sequence[Sequence[Finding]]) -> list[list[tuple[int, Finding]]]:
    """Number the findings of an image so that one lesion keeps its number.

    Parameters
    ----------
    frames
        The findings of each frame, in temporal order, largest first.

    Returns
    -------
    list
        For each frame the findings that stay, with numbers from 1, in order of
        first sight.
    """
    tracks: list[_Track] = []
    numbered: list[list[tuple[int, Finding]]] = []
    for index, findings in enumerate(frames):
        free = [track for track in tracks if index - track.last_seen <= LONGEST_GAP]
        here: list[tuple[int, Finding]] = []
        for finding in findings:
            track = _best_match(finding, free)
            if track is None:
                track = _Track(len(tracks) + 1, finding.mask, index)
                tracks.append(track)
            else:
                free.remove(track)
            track.mask, track.last_seen = finding.mask, index
            here.append((track.number, finding))
        numbered.append(here)
    return _believed(numbered)


def _best_match(finding: Finding, tracks: Sequence[_Track]) -> _Track | None:
    overlaps = [(_iou(finding.mask, track.mask), -track.number, track) for track in tracks]
    best = max(overlaps, key=lambda item: item[:2], default=None)
    return best[2] if best is not None and best[0] >= SAME_LESION_IOU else None


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 0.0


def _believed(numbered: list[list[tuple[int, Finding]]]) -> list[list[tuple[int, Finding]]]:
    """Drop lesions that flicker, and close the gaps in the numbers."""
    sightings = Counter(number for here in numbered for number, _ in here)
    fewest = FEWEST_SIGHTINGS if len(numbered) >= SHORTEST_LOOP else 1
    kept = sorted(number for number, count in sightings.items() if count >= fewest)
    renumbered = {number: position for position, number in enumerate(kept, start=1)}
    return [
        [(renumbered[number], finding) for number, finding in here if number in renumbered]
        for here in numbered
    ]
