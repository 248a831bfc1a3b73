"""The page of one study: most suspicious lesion first, every image, by what it was made.

Holds no patient data and no script; pictures and objects are named by paths
beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from pydicom.dataset import Dataset

from cad_node.domain import ImageResult, LengthUnit, Lesion, Probabilities, Status, StudyResult
from cad_node.encode.seg import key_lesion, lesion_tracks
from cad_node.encode.source import named_apart, read_source
from cad_node.encode.sr_words import Side, band_label, outline_words, partly, side, side_word, typed_parts
from cad_node.encode.template import PAGE_FILE, Templates
from cad_node.errors import TemplateError
from cad_node.settings import ObjectKind
from cad_node.variants import Variant

# What objects are called, in every language.
_OBJECT_NAMES: Mapping[ObjectKind, str] = {
    "seg": "SEG",
    "presentation_state": "PR",
    "secondary_capture": "SC",
    "pdf": "PDF",
    "text_sr": "Basic Text SR",
    "sr": "DICOM SR",
}
# In what two forms of a kind differ, and its words; what is not here goes without saying.
_FORMS: Mapping[str, Mapping[str, str]] = {
    "sr_class": {
        "comprehensive-3d": "Comprehensive 3D",
        "comprehensive": "Comprehensive",
        "enhanced": "Enhanced",
    },
    "seg_type": {"binary": "binary", "fractional": "fractional", "labelmap": "label map"},
    "seg_scope": {"image": "by image", "series": "by series"},
    "transfer_syntax": {
        "deflated": "deflated",
        "rle": "RLE",
        "jpeg-ls": "JPEG-LS",
        "jpeg-2000": "JPEG 2000",
    },
}


@dataclass(frozen=True)
class PageObject:
    """A result object beside the page, with the images that it alone speaks of; none: of the study."""

    variant: Variant
    file: str
    sources: tuple[str, ...]


def render_page(
    result: StudyResult,
    previews: Mapping[str, str],
    templates: Templates,
    objects: Sequence[PageObject] = (),
    sides: Mapping[str, Side] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    previews
        File names beside the page, by SOP Instance UID of the image.
    objects
        Those that lie beside the page: it names no others.
    sides
        Which side is claimed of the lesions of each image (`claimed_sides`); without, none.
    names
        What the report calls the images (`image_names`); without, they are numbered.

    Raises
    ------
    TemplateError
        The page template asks for something that a result does not have.
    """
    forms = object_names(one.variant for one in objects)
    called = [
        ((names or {}).get(image.reference.sop_instance_uid, str(position)), image)
        for position, image in enumerate(result.images, start=1)
    ]
    images = [
        _image(name, image, previews, _links(objects, forms, image), templates) for name, image in called
    ]
    lesions = [
        _lesion(
            name,
            image,
            track,
            previews,
            templates,
            (sides or {}).get(image.reference.sop_instance_uid, (None, False)),
        )
        for name, image in called
        for track in lesion_tracks(image).values()
    ]
    lesions.sort(key=lambda lesion: -lesion["p_malignant"])
    try:
        return templates.page.render(
            study=result.study_instance_uid,
            images=images,
            lesions=lesions,
            counts={
                "images": len(images),
                "analysed": sum(image.status is Status.ANALYSED for image in result.images),
                "lesions": len(lesions),
            },
            unreadable=templates.sr.summary.unreadable.format(files=result.unreadable)
            if result.unreadable
            else "",
            provenance=result.provenance,
            product=templates.wording.product,
            colours={
                name.value: "#{:02x}{:02x}{:02x}".format(*colour)
                for name, colour in templates.seg.colours.items()
            }
            | {"uncertain": "#{:02x}{:02x}{:02x}".format(*templates.preview.colours.uncertain)},
            files=_links(objects, forms, None),
            text=templates.page_words.text,
            language=templates.sr.document.language.value,
        )
    except jinja2.UndefinedError as error:
        raise TemplateError(f"{PAGE_FILE}: {error.message}.", "Compare with the shipped template.") from error


def object_names(variants: Iterable[Variant]) -> dict[Variant, str]:
    """What objects are called that stand side by side: by kind; two forms of a kind by form, too.

    Examples
    --------
    >>> from cad_node.settings import ResultSettings
    >>> binary, labelmap = (
    ...     Variant.of("seg", ResultSettings(seg_type=form)) for form in ("binary", "labelmap")
    ... )
    >>> list(object_names([binary]).values())
    ['SEG']
    >>> list(object_names([binary, labelmap]).values())
    ['SEG (binary)', 'SEG (label map)']
    """
    every = list(dict.fromkeys(variants))
    names: dict[Variant, str] = {}
    for variant in every:
        alike = [other for other in every if other.kind == variant.kind]
        differs = [form for form in _FORMS if len({getattr(other, form) for other in alike}) > 1]
        words = [_FORMS[form].get(getattr(variant, form), "") for form in differs]
        form = ", ".join(word for word in words if word)
        names[variant] = _OBJECT_NAMES[variant.kind] + (f" ({form})" if form else "")
    return names


def _image(
    name: str,
    image: ImageResult,
    previews: Mapping[str, str],
    files: Sequence[Mapping[str, str]],
    templates: Templates,
) -> dict[str, Any]:
    uid = image.reference.sop_instance_uid
    key = image.key_result
    tracks = lesion_tracks(image)
    return {
        "position": name,
        "sop_instance_uid": uid,
        "status": image.status.value,
        "status_name": templates.wording.statuses[image.status],
        "reason": templates.wording.reasons[image.reason] if image.reason else "",
        "partly": partly(image, templates),
        "frames": image.reference.number_of_frames,
        "frames_analysed": len(image.frames),
        "lesions": len(tracks),
        "class": _class(key.probabilities) if key else "",
        "class_name": templates.wording.class_name(key.probabilities) if key else "",
        "p_malignant": key.probabilities.malignant if key else None,
        "percent": templates.wording.percent(key.probabilities.malignant) if key else "",
        "marked": image.notes.marked,
        "annotations_removed": max((frame.annotations_removed for frame in image.frames), default=0),
        "preview": previews.get(uid, ""),
        "files": files,
        "seconds": image.seconds,
    }


def _links(
    objects: Sequence[PageObject], names: Mapping[Variant, str], image: ImageResult | None
) -> list[dict[str, str]]:
    """Names and files of the objects that speak of one image, or of the study."""
    return [
        {"name": names[one.variant], "file": one.file}
        for one in objects
        if (image.reference.sop_instance_uid in one.sources if image else not one.sources)
    ]


def _class(probabilities: Probabilities) -> str:
    return "uncertain" if probabilities.uncertain else probabilities.likeliest.value


def claimed_sides(result: StudyResult, headers: Mapping[str, Dataset]) -> dict[str, Side]:
    """Which side is claimed of the lesions of each image, by SOP Instance UID."""
    uids = {image.reference.sop_instance_uid: image for image in result.images}
    return {
        uid: side(image.notes, read_source(image.reference, headers.get(uid))) for uid, image in uids.items()
    }


def image_names(result: StudyResult, headers: Mapping[str, Dataset]) -> dict[str, str]:
    """What the report calls the images, by SOP Instance UID: series and instance number."""
    uids = [image.reference.sop_instance_uid for image in result.images]
    sources = named_apart(
        read_source(image.reference, headers.get(uid)) for uid, image in zip(uids, result.images, strict=True)
    )
    return {uid: source.name for uid, source in sources.items()}


def _lesion(
    name: str,
    image: ImageResult,
    track: list[Lesion],
    previews: Mapping[str, str],
    templates: Templates,
    of_side: Side,
) -> dict[str, Any]:
    lesion = key_lesion(track)
    claimed, contradicted = of_side
    typed = typed_parts(image.notes, claimed, templates)
    sizes, described, number = lesion.measurements, lesion.description, templates.wording.number
    digits = 1 if sizes.unit is LengthUnit.MILLIMETRE else 0
    return {
        "image": name,
        "number": lesion.number,
        "frame": lesion.frame_number if image.reference.number_of_frames > 1 else "",
        "frames": len(track),
        "class": _class(lesion.probabilities),
        "class_name": templates.wording.class_name(lesion.probabilities),
        "p_malignant": lesion.probabilities.malignant,
        # As exact as the band, which is that of this figure.
        "percent": templates.wording.percent(lesion.probabilities.malignant),
        "p_benign": lesion.probabilities.benign,
        "p_normal": lesion.probabilities.normal,
        "percent_benign": templates.wording.percent(lesion.probabilities.benign),
        "percent_normal": templates.wording.percent(lesion.probabilities.normal),
        "band": band_label(lesion, templates),
        "long_axis": number(sizes.long_axis.length, digits),
        "short_axis": number(sizes.short_axis.length, digits),
        "area": number(sizes.area, digits),
        "depth": number(described.depth_mm, 1) if described.depth_mm is not None else "",
        "outline": "; ".join(outline_words(described, templates)),
        "side": side_word(claimed, templates),
        "place": "; ".join([*typed, templates.sr.position.conflict] if contradicted else typed),
        "unit": sizes.unit.value,
        "preview": previews.get(image.reference.sop_instance_uid, ""),
    }
