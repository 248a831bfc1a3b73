"""Secondary captures: the picture of each image with lesions, and one of the study as a whole.

For a PACS that shows neither SEG nor SR. The pictures are the previews, cleaned
and cropped to the analysed region, with a legend under them: nothing that was
burnt into the source is in them, and no patient data. The first capture says
what was found in the study, and what was not analysed, in words: a study
without a lesion would otherwise look like one that was never analysed.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from cad_node.domain import ImageResult, StudyResult
from cad_node.encode import uids
from cad_node.encode.documents import RELATIVE_SIZES, Line, Style, made_by
from cad_node.encode.provenance import Context, equipment, stamp
from cad_node.encode.seg_frames import is_multi_frame
from cad_node.encode.source import Source

_KIND = "secondary_capture"
_MARGIN = 24
# The capture of the study, in pixels: as large as a preview commonly is.
_STUDY_SIZE = (1280, 720)


def capture_uid(image: ImageResult, context: Context) -> str:
    """The SOP Instance UID of the capture of an image."""
    return uids.object_uid(_KIND, [image.reference.sop_instance_uid], context.provenance, context.wording)


def study_capture_uid(result: StudyResult, context: Context) -> str:
    """The SOP Instance UID of the capture of the study."""
    return uids.object_uid(f"{_KIND} of study", result.spoken_of, context.provenance, context.wording)


def encode_capture(
    position: int, image: ImageResult, source: Source, picture: Image.Image, context: Context
) -> Dataset:
    """The picture of an image, in RGB, with a legend; `position` is its place in the series."""
    canvas = _with_legend(picture, context)
    uid = capture_uid(image, context)
    dataset = _capture(canvas, uid, position, [(image, source)], context)
    if image.key_frame is not None and is_multi_frame(image):
        dataset.SourceImageSequence[0].ReferencedFrameNumber = image.key_frame.frame_number
    return dataset


def encode_study_capture(
    result: StudyResult, lines: Sequence[Line], images: Sequence[tuple[ImageResult, Source]], context: Context
) -> Dataset:
    """The lines of the study's document as a picture, the first of the series."""
    return _capture(_page(lines, context), study_capture_uid(result, context), 1, images, context)


def _capture(
    canvas: Image.Image,
    uid: str,
    number: int,
    images: Sequence[tuple[ImageResult, Source]],
    context: Context,
) -> Dataset:
    template = context.templates.secondary_capture
    source = images[0][1]
    study = source.reference.study_instance_uid
    named = equipment(context)
    built = SCImage(
        pixel_array=np.asarray(canvas),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # demanded; a sonogram has none that is known
        study_instance_uid=study,
        series_instance_uid=uids.object_series_uid(_KIND, study, context.provenance, context.wording),
        series_number=context.settings.secondary_capture_series_number,
        sop_instance_uid=uid,
        instance_number=number,
        series_description=template.series.description,
        specific_character_set=None,
        **named,
    )
    dataset = Dataset(built)
    dataset.PatientOrientation = None
    _put_side(dataset, {one.side for _, one in images})
    dataset.ConversionType = "WSD"
    dataset.DerivationDescription = template.capture.derivation
    # No text that tells patient and date: the pictures are of cleaned frames.
    dataset.BurnedInAnnotation = "NO"
    dataset.SourceImageSequence = [_reference(image) for image, _ in images]
    dataset.SecondaryCaptureDeviceManufacturer = named["manufacturer"]
    dataset.SecondaryCaptureDeviceManufacturerModelName = named["manufacturer_model_name"]
    dataset.SecondaryCaptureDeviceSoftwareVersions = named["software_versions"]
    _put_compression(dataset, [source for _, source in images])
    stamp(dataset, source, context)
    dataset.DateOfSecondaryCapture = DA(dataset.ContentDate)
    dataset.TimeOfSecondaryCapture = TM(dataset.ContentTime)
    return dataset


def _reference(image: ImageResult) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = UID(image.reference.sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(image.reference.sop_instance_uid)
    item.PurposeOfReferenceCodeSequence = [CodedConcept(*codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def _put_side(dataset: Dataset, sides: set[str]) -> None:
    """Image Laterality: that of the series must be one for all its images, which may be of both sides."""
    if "" in sides:
        dataset.Laterality = None
    else:
        dataset.ImageLaterality = sides.pop() if len(sides) == 1 else "B"


def _put_compression(dataset: Dataset, sources: Sequence[Source]) -> None:
    """What lost detail once has lost it for ever (PS3.3 C.7.6.1.1.5)."""
    lossy = next((one.stand_in for one in sources if one.stand_in.get("LossyImageCompression") == "01"), None)
    if lossy is None:
        dataset.LossyImageCompression = "00"
        return
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in lossy:
            dataset[keyword] = deepcopy(lossy[keyword])


def _with_legend(picture: Image.Image, context: Context) -> Image.Image:
    """The picture with a strip under it: what each colour means, and by what it was made."""
    templates = context.templates
    template, colours = templates.secondary_capture, templates.preview.colours
    height = template.capture.legend_height
    canvas = Image.new("RGB", (picture.width, picture.height + height), colours.panel)
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    font = templates.preview.picture.font
    letters = font.at(template.capture.font_size)
    x, y = float(_MARGIN), picture.height + height / 2
    entries = [(getattr(colours, name.value), words) for name, words in templates.wording.classes.items()]
    entries.append((colours.uncertain, templates.wording.abstention.tag))
    for colour, words in [*entries, (colours.axis, template.legend.axes)]:
        pen.line((x, y, x + 28, y), fill=colour, width=4)
        pen.text((x + 38, y), words, fill=colours.text, font=letters, anchor="lm")
        x += 38 + pen.textlength(words, letters) + 28
    by = made_by(template.legend.made_by, context)
    right = canvas.width - _MARGIN
    small = font.at(template.capture.font_size * 0.8)
    if right - pen.textlength(by, small) > x:
        pen.text((right, y), by, fill=colours.faint, font=small, anchor="rm")
    return canvas


def _page(lines: Sequence[Line], context: Context) -> Image.Image:
    """The lines as white on dark; what does not fit makes the picture longer."""
    templates = context.templates
    template, colours = templates.secondary_capture.capture, templates.preview.colours
    font = templates.preview.picture.font
    shades = {Style.TITLE: colours.text, Style.HEADING: colours.axis, Style.FAINT: colours.faint}
    width = _STUDY_SIZE[0]
    placed: list[tuple[float, str, Style]] = []
    y = float(2 * _MARGIN)
    for line in lines:
        size = template.font_size * RELATIVE_SIZES[line.style]
        y += size * 0.5 if line.style is not Style.HEADING else size
        for part in _wrapped(line.text, font.at(size), width - 4 * _MARGIN):
            placed.append((y, part, line.style))
            y += size * 1.35
    canvas = Image.new("RGB", (width, max(_STUDY_SIZE[1], round(y) + 2 * _MARGIN)), colours.background)
    pen = ImageDraw.Draw(canvas)
    for top, part, style in placed:
        letters = font.at(template.font_size * RELATIVE_SIZES[style])
        pen.text((2 * _MARGIN, top), part, fill=shades.get(style, colours.text), font=letters)
    return canvas


def _wrapped(text: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The text in lines no wider than `width`; a word that is wider stands alone."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and letters.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines or [""]
