"""Softcopy presentation state of one image: outline and label of each lesion, as graphic layers.

Grayscale for a monochrome source, Color for any other. The pixels stay the
source's: its window or VOI LUT, and its rescale or Modality LUT, are repeated, so that only the
graphics are new. In a loop each frame has the outlines that belong to it.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from highdicom import VOILUT, ModalityLUT, ModalityLUTTransformation, PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, TM

from cad_node.domain import ImageResult, LengthUnit, Lesion
from cad_node.encode import uids
from cad_node.encode.icc import srgb_input_profile
from cad_node.encode.provenance import Context, equipment, stamp
from cad_node.encode.seg import key_lesion, lesion_tracks, tracking_id
from cad_node.encode.seg_frames import is_multi_frame, put_source_classes
from cad_node.encode.source import Source
from cad_node.encode.sr_graphics import graphic_data

_KIND = "presentation_state"


class _Tracking(TypedDict):
    tracking_id: str
    tracking_uid: str


# Height of a line of text, as a part of the image's.
_LINE_SHARE = 1 / 28
# Width of a letter, as a part of a line's height.
_LETTER_SHARE = 0.55


def presentation_state_uid(image: ImageResult, context: Context) -> str:
    """The SOP Instance UID of the presentation state of an image."""
    return uids.object_uid(_KIND, [image.reference.sop_instance_uid], context.provenance, context.wording)


def encode_presentation_state(position: int, image: ImageResult, source: Source, context: Context) -> Dataset:
    """The presentation state of an image that has at least one lesion; `position` is its place in the study."""
    template = context.templates.presentation_state
    study = image.reference.study_instance_uid
    kind: type[Dataset] = GrayscaleSoftcopyPresentationState
    special: dict[str, Any] = _grey_pipeline(source)
    if source.is_colour:
        kind, special = ColorSoftcopyPresentationState, {"icc_profile": srgb_input_profile()}
    stand_in = _stand_in(source)
    built = kind(
        referenced_images=[stand_in],
        series_instance_uid=uids.object_series_uid(_KIND, study, context.provenance, context.wording),
        series_number=context.settings.presentation_state_series_number,
        sop_instance_uid=presentation_state_uid(image, context),
        instance_number=position,
        content_label=template.content.label,
        content_description=template.content.description,
        series_description=template.series.description,
        graphic_layers=_layers(image, source, context),
        graphic_annotations=[
            _annotation(image, lesion, stand_in, source, context)
            for track in lesion_tracks(image).values()
            for lesion in track
        ],
        specific_character_set=None,
        **special,
        **equipment(context),
    )
    dataset = Dataset(built)
    put_source_classes(dataset, {image.reference.sop_instance_uid: image.reference.sop_class_uid})
    _put_aspect(dataset, source)
    dataset.Laterality = None  # of the series, which may have images of both sides
    stamp(dataset, source, context)
    # A presentation state has a time of its own, and no content in the sense of an image.
    dataset.PresentationCreationDate = DA(dataset.pop("ContentDate").value)
    dataset.PresentationCreationTime = TM(dataset.pop("ContentTime").value)
    return dataset


def layer_name(lesion_number: int) -> str:
    """Name of the layer of a lesion, a code string."""
    return f"LESION_{lesion_number}"


def _stand_in(source: Source) -> Dataset:
    stand_in = Dataset()
    stand_in.update(source.stand_in)
    stand_in.SamplesPerPixel = 3 if source.is_colour else 1
    return stand_in


def _grey_pipeline(source: Source) -> dict[str, Any]:
    """Modality, VOI and presentation transformations, as the source has them."""
    display = source.display
    by_label = "INVERSE" if display.get("PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY"
    shape = str(display.get("PresentationLUTShape") or "")
    special: dict[str, Any] = {
        "presentation_lut_transformation": PresentationLUTTransformation(
            shape if shape in {"INVERSE", "IDENTITY"} else by_label
        )
    }
    modality, voi = _modality(source), _voi(source)
    if modality is not None:
        special["modality_lut_transformation"] = modality
    if voi is not None:
        special["voi_lut_transformations"] = [voi]
    return special


def _modality(source: Source) -> ModalityLUTTransformation | None:
    display, table = source.display, source.modality_table
    if table is not None and table.first >= 0:
        entries = table.entries.astype(np.uint8 if table.top == 255 else np.uint16)
        return ModalityLUTTransformation(modality_lut=ModalityLUT("US", table.first, entries))
    slope, intercept = (_first(display.get(keyword)) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if not slope or intercept is None:
        return None
    return ModalityLUTTransformation(
        rescale_intercept=intercept, rescale_slope=slope, rescale_type=display.get("RescaleType") or "US"
    )


def _voi(source: Source) -> SoftcopyVOILUTTransformation | None:
    """The source's table, else its window."""
    display, table = source.display, source.voi_table
    if table is not None and table.first >= 0:
        # Where its values are named as 16 bits they must fill them: 65535 is white.
        entries = np.rint(table.entries * (65535 / table.top)).astype(np.uint16)
        return SoftcopyVOILUTTransformation(voi_luts=[VOILUT(table.first, entries)])
    function = str(display.get("VOILUTFunction") or "LINEAR")
    if function not in {"SIGMOID", "LINEAR_EXACT"}:
        function = "LINEAR"
    centre, width = (_first(display.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    return SoftcopyVOILUTTransformation(
        window_center=centre,
        window_width=width,
        voi_lut_function=None if function == "LINEAR" else function,
    )


def _first(value: Any) -> float | None:
    """The first of several values: the one that viewers open an image with; None where it is empty."""
    first = next(iter(value), None) if isinstance(value, (MultiValue, list)) else value
    return float(first) if isinstance(first, (int, float)) else None


def _layers(image: ImageResult, source: Source, context: Context) -> list[GraphicLayer]:
    colours = context.templates.seg.colours
    return [
        GraphicLayer(
            layer_name=layer_name(number),
            order=order,
            description=tracking_id(source, number, context)[:64],
            display_color=CIELabColor.from_rgb(*colours[key_lesion(track).probabilities.likeliest]),
        )
        for order, (number, track) in enumerate(lesion_tracks(image).items(), start=1)
    ]


def _annotation(
    image: ImageResult, lesion: Lesion, stand_in: Dataset, source: Source, context: Context
) -> GraphicAnnotation:
    named: _Tracking = {
        "tracking_id": tracking_id(source, lesion.number, context),
        "tracking_uid": uids.tracking_uid(source.reference.sop_instance_uid, lesion.number),
    }
    limits = np.array([image.reference.columns, image.reference.rows], np.float32)
    outline = np.clip(graphic_data(lesion.measurements.contour), 0, limits)
    annotation = GraphicAnnotation(
        referenced_images=[stand_in],
        graphic_layer=GraphicLayer(layer_name(lesion.number), order=1),  # its name is taken, no more
        graphic_objects=[
            GraphicObject(graphic_type="POLYLINE", graphic_data=outline, units="PIXEL", **named)
        ],
        text_objects=[_text(outline, lesion, image, context, named)],
    )
    if is_multi_frame(image):
        annotation.ReferencedImageSequence[0].ReferencedFrameNumber = lesion.frame_number
    return annotation


def _text(
    outline: np.ndarray[Any, Any],
    lesion: Lesion,
    image: ImageResult,
    context: Context,
    named: _Tracking,
) -> TextObject:
    """Two lines above the outline, or below where there is no room; wholly inside the image."""
    lines = label_lines(lesion, context)
    rows, columns = image.reference.rows, image.reference.columns
    line = max(rows * _LINE_SHARE, 8.0)
    height = min(line * len(lines), float(rows))
    width = min(line * _LETTER_SHARE * max(map(len, lines)), float(columns))
    left = min(max(float(outline[:, 0].min()), 0.0), columns - width)
    top = float(outline[:, 1].min()) - height - line / 2
    if top < 0:
        top = min(float(outline[:, 1].max()) + line / 2, rows - height)
    return TextObject(
        text_value="\r\n".join(lines),
        units="PIXEL",
        bounding_box=(left, top, left + width, top + height),
        text_justification="LEFT",
        **named,
    )


def label_lines(lesion: Lesion, context: Context) -> list[str]:
    """What stands beside the outline of a lesion."""
    template, wording = context.templates.presentation_state.text, context.templates.wording
    sizes = lesion.measurements
    digits = 1 if sizes.unit is LengthUnit.MILLIMETRE else 0
    return [
        template.label.format(
            number=lesion.number,
            class_name=wording.class_name(lesion.probabilities),
            percent=wording.percent(lesion.probabilities.malignant),
        ),
        template.size.format(
            long_axis=wording.number(sizes.long_axis.length, digits),
            short_axis=wording.number(sizes.short_axis.length, digits),
            unit=sizes.unit.value,
        ),
    ]


def _put_aspect(dataset: Dataset, source: Source) -> None:
    """Show pixels as the source asks for; the calibration of a region is not that of the whole picture."""
    aspect = source.display.get("PixelAspectRatio")
    # One value is none: Pixel Aspect Ratio has two.
    pair = aspect if isinstance(aspect, (MultiValue, list)) and len(aspect) == 2 else ()
    if pair and all(isinstance(part, int) and part > 0 for part in pair):
        dataset.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio = [int(part) for part in pair]
