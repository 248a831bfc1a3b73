"""What the outline of a lesion says by itself: how it lies, its shape, how deep it is.

Only what a figure decides: between two words nothing is said. Nothing is said of
the margin at all, for the outline that a network draws is smoother than the
margin it stands for. The words are those of BI-RADS for ultrasound (DICOM
CID 6152 and 6004).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from cad_node.domain import Box, CleanFrame, Description, LesionOrientation, LesionShape, Measurements

# Long by short axis. A rounder lesion has no direction that a reader would name.
_LEAST_ELONGATION = 1.15
# Of the long axis to the skin. An oblique lesion counts as not parallel; close to the border
# between the two nothing is said.
_PARALLEL_UP_TO_DEG, _NOT_PARALLEL_FROM_DEG = 30.0, 45.0
# Smaller outlines are mostly the corners of pixels.
_LEAST_PIXELS = 300
# Area by that of the convex hull, and by that of the ellipse with the same moments: 1 for an
# ellipse. In between lie lobulated and merely uneven outlines.
_ELLIPSE_SOLIDITY, _ELLIPSE_FIT = 0.95, 0.975
_IRREGULAR_SOLIDITY, _IRREGULAR_FIT = 0.85, 0.90
# Short by long axis of that ellipse.
_ROUND_FROM, _OVAL_UP_TO = 0.92, 0.83
# An outline that comes so near to the edge of the picture is cut by it: networks round off what is not shown.
_EDGE_PX = 3
# A row of tissue is brighter than this, and so are the next ones.
_TISSUE_GREY, _TISSUE_ROWS = 12, 4


def describe(measurements: Measurements, frame: CleanFrame) -> Description:
    """What the outline says of a lesion of `frame`; None where no figure decides.

    Of a lesion that the edge of the picture cuts, direction and shape are not known.
    """
    cut = reaches_edge(measurements, frame)
    return Description(
        orientation=None if cut else orientation(measurements),
        shape=None if cut else shape(measurements, frame),
        depth_mm=depth_mm(measurements, frame),
        cut=cut,
    )


def reaches_edge(measurements: Measurements, frame: CleanFrame) -> bool:
    """Whether an outline reaches the edge of the picture that was looked at.

    The picture is the convex hull of what is not black: a trapezoid has slanted sides.
    """
    picture = _picture(measurements, frame)
    pixels = frame.pixels[picture.slices]
    # Single bright pixels in the black beside a picture are noise.
    shown = cv2.morphologyEx(
        (pixels > _TISSUE_GREY).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    hull = cv2.convexHull(cv2.findNonZero(shown if shown.any() else np.ones_like(shown)))
    corners = cv2.convexHull(measurements.contour.astype(np.float32))[:, 0]
    away = min(
        cv2.pointPolygonTest(
            hull, (float(column) - picture.column_start, float(row) - picture.row_start), True
        )
        for row, column in corners
    )
    # The hull runs through the middles of the outermost pixels, half a pixel inside of the edge.
    return away + 0.5 < _EDGE_PX


def orientation(measurements: Measurements) -> LesionOrientation | None:
    """Whether the long axis runs along the skin, which lies along the rows of the image."""
    if measurements.long_axis.length < _LEAST_ELONGATION * measurements.short_axis.length:
        return None
    if measurements.orientation_deg <= _PARALLEL_UP_TO_DEG:
        return LesionOrientation.PARALLEL
    if measurements.orientation_deg >= _NOT_PARALLEL_FROM_DEG:
        return LesionOrientation.NOT_PARALLEL
    return None


def shape(measurements: Measurements, frame: CleanFrame) -> LesionShape | None:
    """Oval, round or irregular."""
    scale = np.array([frame.pixel_size.row_mm, frame.pixel_size.column_mm])
    points = np.ascontiguousarray(measurements.contour * scale, dtype=np.float32)
    moments = cv2.moments(points)
    area = moments["m00"]
    if area < _LEAST_PIXELS * scale.prod():
        return None
    solidity = area / cv2.contourArea(cv2.convexHull(points))
    spread = np.array(
        [[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]], dtype=np.float64
    )
    small, large = np.linalg.eigvalsh(spread / area)
    fit = area / (4 * math.pi * math.sqrt(small * large))
    if solidity <= _IRREGULAR_SOLIDITY or fit <= _IRREGULAR_FIT:
        return LesionShape.IRREGULAR
    if solidity < _ELLIPSE_SOLIDITY or fit < _ELLIPSE_FIT:
        return None
    ratio = math.sqrt(small / large)
    if ratio >= _ROUND_FROM:
        return LesionShape.ROUND
    return LesionShape.OVAL if ratio <= _OVAL_UP_TO else None


def depth_mm(measurements: Measurements, frame: CleanFrame) -> float | None:
    """From the top of the tissue shown to the upper edge of the lesion, straight down.

    None where the frame has no scale. The top is looked for above the lesion, so
    that a curved probe or a black border above the skin does not count.
    """
    if frame.spacing is None:
        return None
    rows, columns = measurements.contour[:, 0], measurements.contour[:, 1]
    region = _picture(measurements, frame)
    edge = float(rows.min())
    first = max(int(columns.min() + 0.5), region.column_start)
    last = min(int(columns.max() + 0.5), region.column_stop)
    above = frame.pixels[region.row_start : int(edge + 0.5), first : max(last, first + 1)]
    return (edge - (region.row_start + _top(above) - 0.5)) * frame.spacing.row_mm


def _picture(measurements: Measurements, frame: CleanFrame) -> Box:
    """The picture in which a lesion lies; the whole region where it lies in none."""
    row, column = measurements.contour.mean(axis=0)
    found = (
        one
        for one in frame.looked_at
        if one.row_start - 0.5 <= row < one.row_stop and one.column_start - 0.5 <= column < one.column_stop
    )
    return next(found, frame.region)


def _top(above: NDArray[np.uint8]) -> int:
    """The first row of tissue in what lies above a lesion; 0 where none is found."""
    if not above.size:
        return 0
    bright = above.mean(axis=1) > _TISSUE_GREY
    for row in np.flatnonzero(bright):
        if bright[row : row + _TISSUE_ROWS].all():
            return int(row)
    return 0
