"""Coordinates of a report: outlines and boxes as Graphic Data on a source image."""

from __future__ import annotations

import numpy as np
from highdicom.sr import CoordinatesForMeasurement, ImageRegion, SourceImageForRegion
from numpy.typing import NDArray
from pydicom.uid import UltrasoundImageStorage

from cad_node.domain import Box, ImageResult
from cad_node.encode.seg import is_multi_frame

# Graphic Data is FL, whose length Explicit VR writes in 16 bits: at most 8191 points.
_MOST_CONTOUR_POINTS = 4000
# Our `(row, column)` counts from the centre of the first pixel, Graphic Data from
# its outer corner (PS3.3 C.18.6.1.2).
_PIXEL_CENTRE = 0.5


def graphic_data(contour: NDArray[np.float64]) -> NDArray[np.float32]:
    """A contour `(points, 2)` of `(row, column)` as closed Graphic Data of `(column, row)`."""
    step = -(-len(contour) // _MOST_CONTOUR_POINTS)
    points = contour[::step, ::-1] + _PIXEL_CENTRE
    if not np.array_equal(points[0], points[-1]):
        points = np.concatenate([points, points[:1]])
    return points.astype(np.float32)


def source_image(image: ImageResult, frame_number: int) -> SourceImageForRegion:
    """The image that coordinates lie on; a frame is named only where there are frames."""
    return SourceImageForRegion(
        image.reference.sop_class_uid,
        image.reference.sop_instance_uid,
        referenced_frame_numbers=[frame_number] if is_multi_frame(image) else None,
    )


def image_region(image: ImageResult, contour: NDArray[np.float64], frame_number: int) -> ImageRegion:
    """The outline of a lesion.

    The library looks up the image's SOP Class and knows none of the retired ones, which
    old scanners and archives still have; so it is shown another, and the true one put in.
    """
    shown = source_image(image, frame_number)
    (reference,) = shown.ReferencedSOPSequence
    reference.ReferencedSOPClassUID = UltrasoundImageStorage
    region = ImageRegion(graphic_type="POLYLINE", graphic_data=graphic_data(contour), source_image=shown)
    region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPClassUID = image.reference.sop_class_uid
    return region


def box_region(image: ImageResult, box: Box, frame_number: int) -> CoordinatesForMeasurement:
    """A rectangle that a measurement was taken from."""
    corners = np.array(
        [
            (box.row_start, box.column_start),
            (box.row_start, box.column_stop),
            (box.row_stop, box.column_stop),
            (box.row_stop, box.column_start),
        ]
    )
    return CoordinatesForMeasurement(
        graphic_type="POLYLINE",
        graphic_data=graphic_data(corners - _PIXEL_CENTRE),  # a box lies on the edges of pixels
        source_image=source_image(image, frame_number),
    )
