"""Size, shape and outline of a lesion from its mask.

Coordinates are `(row, column)` with pixel centres at whole numbers: the pixel
(0, 0) covers -0.5 to 0.5. The outline runs half-way between the last pixel inside
and the first outside, and every length is taken from it, so that a row of five
pixels is five pixels long.

The long axis is the largest distance between two points of the outline (largest
Feret diameter). The short axis is the longest line at right angles to it whose
two ends lie on the outline, the way a reader sets the second pair of calipers.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import SimpleITK
from numpy.typing import NDArray

from cad_node.domain import Axis, LengthUnit, Measurements, PixelSpacing, unit_pixel
from cad_node.errors import StudyError

# SimpleITK ships no types for most of its functions.
_itk: Any = SimpleITK

# Places along the long axis where a perpendicular line is tried.
PERPENDICULARS = 400

# East, south, west, north as (row, column) steps; the inside lies to the right hand.
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
# From a pixel corner: the pixel ahead to the left, and ahead to the right, for each direction.
_AHEAD_LEFT = ((-1, 0), (0, 0), (0, -1), (-1, -1))
_AHEAD_RIGHT = ((0, 0), (0, -1), (-1, -1), (-1, 0))


def measure(mask: NDArray[np.bool_], spacing: PixelSpacing | None, aspect: float = 1.0) -> Measurements:
    """Axes, area, orientation and outline of the largest connected part of a mask.

    Parameters
    ----------
    mask
        bool `(rows, columns)` at source resolution.
    spacing
        Calibration of the region the mask lies in; None: lengths in pixels.
    aspect
        Height of a pixel by its width, where there is no calibration.

    Raises
    ------
    StudyError
        The mask is empty.

    Examples
    --------
    >>> mask = np.zeros((9, 9), dtype=bool)
    >>> mask[4, 2:7] = True
    >>> size = measure(mask, PixelSpacing(row_mm=0.2, column_mm=0.1))
    >>> round(size.long_axis.length, 3), round(size.short_axis.length, 3), round(size.area, 3)
    (0.5, 0.2, 0.1)
    """
    if mask.ndim != 2 or not mask.any():
        raise StudyError("A lesion mask without pixels cannot be measured.", "No lesion is reported for it.")
    pixel = spacing or unit_pixel(aspect)
    scale = np.array([pixel.row_mm, pixel.column_mm])
    part, area = _largest_part(mask, spacing)
    contour = outline(part)
    points = contour[:-1] * scale
    start, end = _farthest_pair(points)
    rise, run = np.abs(end - start)
    return Measurements(
        unit=LengthUnit.MILLIMETRE if spacing else LengthUnit.PIXEL,
        long_axis=_axis(start, end, scale),
        short_axis=_axis(*_longest_perpendicular(points, start, end), scale),
        area=area,
        orientation_deg=math.degrees(math.atan2(float(rise), float(run))),
        contour=contour,
    )


def outline(part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Closed outer outline of one 8-connected mask, clockwise on the screen.

    Float `(points, 2)`, the last point repeating the first. Each point is the
    middle of a pixel edge that parts inside from outside; holes have no part in
    it.
    """
    inside = np.pad(part, 1)
    row, column = (int(value) for value in np.argwhere(inside)[0])
    first = (row, column, 0)
    corner_row, corner_column, heading = first
    points: list[tuple[float, float]] = []
    while True:
        step_row, step_column = _STEPS[heading]
        # Corner (i, j) is the upper left one of pixel (i, j); the padding moved all by one.
        points.append((corner_row + step_row / 2 - 1.5, corner_column + step_column / 2 - 1.5))
        corner_row += step_row
        corner_column += step_column
        left, right = _AHEAD_LEFT[heading], _AHEAD_RIGHT[heading]
        if inside[corner_row + left[0], corner_column + left[1]]:
            heading = (heading - 1) % 4
        elif not inside[corner_row + right[0], corner_column + right[1]]:
            heading = (heading + 1) % 4
        if (corner_row, corner_column, heading) == first:
            break
    points.append(points[0])
    return np.array(points, dtype=np.float64)


def _largest_part(mask: NDArray[np.bool_], spacing: PixelSpacing | None) -> tuple[NDArray[np.bool_], float]:
    """The largest 8-connected part and its area."""
    image = _itk.GetImageFromArray(np.ascontiguousarray(mask, dtype=np.uint8))
    if spacing is not None:
        # ITK counts (column, row).
        image.SetSpacing((spacing.column_mm, spacing.row_mm))
    labels = _itk.ConnectedComponent(image, True)
    shape = _itk.LabelShapeStatisticsImageFilter()
    shape.Execute(labels)
    # Of equal parts the first: a second run must give the same.
    label = max(shape.GetLabels(), key=lambda one: (shape.GetNumberOfPixels(one), -one))
    part = _itk.GetArrayFromImage(labels) == label
    return np.asarray(part, dtype=bool), float(shape.GetPhysicalSize(label))


def _farthest_pair(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two points with the largest distance, the left one first."""
    # Both ends are corners of the convex hull, which has few.
    corners = cv2.convexHull(points.astype(np.float32), returnPoints=False).ravel()
    hull = points[np.sort(corners)]
    squares = ((hull[:, None, :] - hull[None, :, :]) ** 2).sum(axis=2)
    first, second = np.unravel_index(int(squares.argmax()), squares.shape)
    start, end = hull[first], hull[second]
    return (start, end) if (start[1], start[0]) <= (end[1], end[0]) else (end, start)


def _longest_perpendicular(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the longest line across the outline at right angles to `start`-`end`."""
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]])
    u = (points - start) @ along
    v = (points - start) @ across
    # The extent is linear between outline points, so it is largest at one of them.
    places = np.unique(np.round(u, 9))
    if places.size > PERPENDICULARS:
        places = places[np.linspace(0, places.size - 1, PERPENDICULARS).round().astype(int)]
    u_next, v_next = np.roll(u, -1), np.roll(v, -1)
    # (places, edges): where on each edge of the outline the place lies.
    crosses = (np.minimum(u, u_next) <= places[:, None] + 1e-9) & (
        np.maximum(u, u_next) >= places[:, None] - 1e-9
    )
    run = np.where(np.abs(u_next - u) < 1e-12, 1.0, u_next - u)
    share = np.clip((places[:, None] - u) / run, 0.0, 1.0)
    height = v + share * (v_next - v)
    # An edge that runs across is met along its whole length.
    level = np.abs(u_next - u) < 1e-12
    upper = np.where(level, np.maximum(v, v_next), height)
    lower = np.where(level, np.minimum(v, v_next), height)
    top = np.where(crosses, upper, -np.inf).max(axis=1)
    bottom = np.where(crosses, lower, np.inf).min(axis=1)
    best = int((top - bottom).argmax())
    foot = start + places[best] * along
    return foot + bottom[best] * across, foot + top[best] * across


def _axis(start: NDArray[np.float64], end: NDArray[np.float64], scale: NDArray[np.float64]) -> Axis:
    first, second = start / scale, end / scale
    return Axis(
        (float(first[0]), float(first[1])),
        (float(second[0]), float(second[1])),
        float(np.linalg.norm(end - start)),
    )
