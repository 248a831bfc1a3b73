"""What a report says in sentences; every word is from the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cad_node.codes import LATERALITY, Concept
from cad_node.domain import (
    Description,
    ImageResult,
    Laterality,
    LengthUnit,
    Lesion,
    LesionKey,
    SizeComparison,
    SonographerNotes,
    Status,
    StudyResult,
)
from cad_node.encode.provenance import Context
from cad_node.encode.seg import key_lesion, lesion_tracks, tracking_id
from cad_node.encode.source import Source
from cad_node.encode.template import Templates

_SIDES = {Laterality.LEFT: LATERALITY["L"], Laterality.RIGHT: LATERALITY["R"]}

# The side that is claimed of a lesion, and whether text and header contradict each other, so that there is none.
Side = tuple[Concept | None, bool]


def percent(probability: float) -> float:
    """A probability as it is written: the band is that of the figure which the reader sees."""
    return round(100 * float(probability), 1)


def band_label(lesion: Lesion, templates: Templates) -> str:
    """Name of the likelihood band; a dash where the templates have none for it."""
    band = templates.sr.assessment.band(percent(lesion.probabilities.malignant))
    return band.label if band else "-"


def side(notes: SonographerNotes, source: Source) -> Side:
    """The side of a lesion by what is typed on the image and by its header."""
    typed = _SIDES.get(notes.laterality) if notes.laterality else None
    header = source.laterality
    if notes.both_sides:
        # Nobody knows which of them shows the lesion; a header that names one is wrong for the other.
        return (header, False) if header in {None, LATERALITY["B"]} else (None, True)
    if typed is None or header is None or header == typed:
        return typed or header, False
    # A header that says "both" is right either way, and the text says more.
    return (typed, False) if header == LATERALITY["B"] else (None, True)


def outline_words(described: Description, templates: Templates) -> list[str]:
    """Orientation and shape in words, where they are known, and whether the edge of the picture cuts the outline."""
    words = (described.orientation, described.shape)
    said = [getattr(templates.sr.phrases, word.value) for word in words if word is not None]
    return [*said, templates.sr.phrases.cut] if described.cut else said


def side_word(claimed: Concept | None, templates: Templates) -> str:
    """Which breast; empty where neither is claimed, or both."""
    return next(
        (getattr(templates.sr.position, one.value) for one, code in _SIDES.items() if code == claimed), ""
    )


def typed_parts(notes: SonographerNotes, claimed: Concept | None, templates: Templates) -> list[str]:
    """What was typed of the place, in words; a side that the header contradicts is left out."""
    return place_parts(notes, claimed if notes.laterality else None, templates)


def place_parts(notes: SonographerNotes, claimed: Concept | None, templates: Templates) -> list[str]:
    """The claimed side, and what was typed of the place, in words."""
    words, breast = templates.sr.position, side_word(claimed, templates)
    parts = [breast] if breast else []
    if notes.quadrant:
        parts.append(getattr(words, notes.quadrant.value))
    if notes.clock_face is not None:
        parts.append(words.clock_face.format(hour=_hour(notes.clock_face)))
    if notes.nipple_distance_mm is not None:
        distance = templates.wording.number(notes.nipple_distance_mm, 0)
        parts.append(words.nipple_distance.format(distance=distance))
    if notes.plane:
        parts.append(getattr(words, notes.plane.value))
    return parts


def _hour(clock_face: float) -> str:
    hour = int(clock_face)
    return str(hour) if clock_face == hour else f"{hour}:{round(60 * (clock_face - hour)):02d}"


def lesion_sentence(image: ImageResult, lesion: Lesion, source: Source, context: Context) -> str:
    """A lesion in one line: how likely, how large, how deep, how it lies, where."""
    phrases, number = context.templates.sr.phrases, context.templates.wording.number
    sizes, described = lesion.measurements, lesion.description
    digits = 1 if sizes.unit is LengthUnit.MILLIMETRE else 0
    parts = [
        phrases.class_.format(
            class_name=context.templates.wording.class_name(lesion.probabilities),
            percent=context.templates.wording.percent(lesion.probabilities.malignant),
            band=band_label(lesion, context.templates),
        ),
        phrases.size.format(
            long_axis=number(sizes.long_axis.length, digits),
            short_axis=number(sizes.short_axis.length, digits),
            area=number(sizes.area, digits),
            unit=sizes.unit.value,
        ),
    ]
    if described.depth_mm is not None:
        parts.append(phrases.depth.format(depth=number(described.depth_mm, 1)))
    parts += outline_words(described, context.templates)
    parts += place_parts(image.notes, side(image.notes, source)[0], context.templates)
    return context.templates.sr.lesion.sentence.format(
        tracking_id=tracking_id(source, lesion.number, context), parts="; ".join(parts)
    )


def partly(image: ImageResult, templates: Templates) -> str:
    """That only part of an image was analysed, and why; empty where all of it was, or nothing."""
    if not image.is_partial or image.reason is None:
        return ""
    return templates.sr.image.partly.format(reason=templates.wording.reasons[image.reason])


def ranked_lesions(result: StudyResult) -> list[tuple[ImageResult, Lesion]]:
    """Every lesion with its image, the greatest probability of cancer first, the larger where equal."""
    found = [(image, key_lesion(track)) for image in result.images for track in lesion_tracks(image).values()]
    return sorted(found, key=lambda pair: (-pair[1].probabilities.malignant, -pair[1].measurements.area))


def summary_lines(result: StudyResult, sources: Mapping[str, Source], context: Context) -> list[str]:
    """The result of a study in a few sentences, the most suspicious lesion first."""
    template = context.templates.sr.summary
    analysed = sum(image.status is Status.ANALYSED for image in result.images)
    refused = len(result.images) - analysed
    unreadable = [template.unreadable.format(files=result.unreadable)] if result.unreadable else []
    if not analysed:
        return [template.nothing_analysed.format(refused=refused), *unreadable]
    ranked = ranked_lesions(result)
    lines = []
    if not ranked:
        lines.append(template.nothing_found.format(images=analysed, refused=refused))
    else:
        lines.append(template.found.format(lesions=len(ranked), images=analysed, refused=refused))
    lines += unreadable
    partial = [sources[image.reference.sop_instance_uid].name for image in result.images if image.is_partial]
    if partial:
        lines.append(template.partly.format(images=", ".join(partial)))
    for rank, (image, lesion) in enumerate(ranked, start=1):
        line = template.most_suspicious if rank == 1 else template.further
        words = {
            "tracking_id": tracking_id(sources[image.reference.sop_instance_uid], lesion.number, context),
            "class_name": context.templates.wording.class_name(lesion.probabilities),
            "percent": context.templates.wording.percent(lesion.probabilities.malignant),
            "band": band_label(lesion, context.templates),
        }
        lines.append(line.format(**words) if rank == 1 else line.format(rank=rank, **words))
    lines += [_same(group, sources, context) for group in result.same_lesions]
    differing = (
        difference(image, sources[image.reference.sop_instance_uid], context) for image in result.images
    )
    lines += [line for line in differing if line]
    marked = [sources[image.reference.sop_instance_uid].name for image in result.images if image.notes.marked]
    if marked:
        lines.append(template.marked.format(images=", ".join(marked)))
    lines += _about_probabilities(context)
    if ranked:
        lines.append(template.bands)
    return lines


def difference(image: ImageResult, source: Source, context: Context) -> str:
    """That the sonographer measured something much different; empty where not."""
    compared, number = _compared(image), context.templates.wording.number
    if compared is None or not compared.differs:
        return ""
    return context.templates.sr.typed.differs.format(
        typed=number(compared.typed_mm, 1),
        measured=number(compared.measured_mm, 1),
        tracking_id=tracking_id(source, compared.lesion_number, context),
    )


def _compared(image: ImageResult) -> SizeComparison | None:
    """The comparison that stands beside the figures of the report: of a loop, those of the lesion's key frame."""
    tracks = lesion_tracks(image)
    for frame in image.frames:
        found = frame.size_comparison
        track = tracks.get(found.lesion_number) if found else None
        if track and key_lesion(track).frame_number == frame.frame_number:
            return found
    return image.size_comparison


def _same(group: Sequence[LesionKey], sources: Mapping[str, Source], context: Context) -> str:
    names = [tracking_id(sources[key.sop_instance_uid], key.number, context) for key in group]
    return context.templates.sr.summary.same_lesion.format(tracking_ids=", ".join(names))


def _about_probabilities(context: Context) -> list[str]:
    calibration, number = context.provenance.calibration, context.templates.wording.number
    if calibration is None:
        return []
    template = context.templates.sr.summary
    temperature = number(calibration.temperature, 3)
    if calibration.error is None:
        return [template.calibration_unmeasured.format(temperature=temperature)]
    return [
        template.calibration.format(
            temperature=temperature, error=number(100 * calibration.error, 1), images=calibration.images
        )
    ]
