"""What a report says in words and codes about the study and about images without a lesion."""

from __future__ import annotations

from collections.abc import Mapping

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    TextContentItem,
)

from cad_node import codes
from cad_node.codes import Concept
from cad_node.domain import ImageResult, Lesion, Status, StudyResult
from cad_node.encode.provenance import Context, coded
from cad_node.encode.seg import key_lesion, lesion_tracks, tracking_id
from cad_node.encode.source import Source


def evaluations(result: StudyResult, sources: Mapping[str, Source], context: Context) -> ContainerContentItem:
    """The study in a line, the images that were not analysed, and what the report is not."""
    container = ContainerContentItem(coded(codes.QUALITATIVE_EVALUATIONS), relationship_type="CONTAINS")
    outcome = CodeContentItem(
        coded(codes.FINDINGS_SUMMARY), coded(_outcome(result)), relationship_type="CONTAINS"
    )
    refused = [_refusal(image, context) for image in result.images if image.status is not Status.ANALYSED]
    texts = [*summary_lines(result, sources, context), context.templates.sr.document.disclaimer]
    container.ContentSequence = ContentSequence([outcome, *refused, *(comment(text) for text in texts)])
    return container


def _refusal(image: ImageResult, context: Context) -> CodeContentItem:
    """That an image was not analysed, why, and which image that is."""
    outcome, text = image_outcome(image, context)
    item = CodeContentItem(coded(codes.SUMMARY_OF_DETECTIONS), coded(outcome), relationship_type="CONTAINS")
    children: list[ContentItem] = []
    why = reason(image, context)
    if why is not None:
        name = coded(context.templates.sr.image.reason)
        children.append(CodeContentItem(name, why, relationship_type="HAS CONCEPT MOD"))
    children.append(TextContentItem(coded(codes.COMMENT), text, relationship_type="HAS PROPERTIES"))
    children.append(
        ImageContentItem(
            coded(codes.SOURCE),
            referenced_sop_class_uid=image.reference.sop_class_uid,
            referenced_sop_instance_uid=image.reference.sop_instance_uid,
            relationship_type="INFERRED FROM",
        )
    )
    item.ContentSequence = ContentSequence(children)
    return item


def comment(text: str) -> TextContentItem:
    """A remark in words."""
    return TextContentItem(coded(codes.COMMENT), text, relationship_type="CONTAINS")


def image_outcome(image: ImageResult, context: Context) -> tuple[Concept, str]:
    """How the analysis of an image without a lesion ended, coded and in words."""
    template, refusal = context.templates.sr.image, image.refusal
    why = context.templates.wording.reasons[refusal.reason] if refusal else ""
    return {
        Status.ANALYSED: (codes.SUCCEEDED, template.no_finding),
        Status.NOT_ANALYSED: (codes.NOT_ATTEMPTED, template.not_analysed.format(reason=why)),
        Status.FAILED: (codes.FAILED, template.failed.format(reason=why)),
    }[image.status]


def reason(image: ImageResult, context: Context) -> CodedConcept | None:
    """Why an image was not analysed, coded; None for one that was."""
    if image.refusal is None:
        return None
    meaning = context.templates.wording.reasons[image.refusal.reason]
    return coded(Concept(codes.REASONS[image.refusal.reason], codes.PRIVATE_SCHEME, meaning[:64]))


def most_suspicious(result: StudyResult) -> tuple[ImageResult, Lesion] | None:
    """The lesion with the greatest probability of cancer, and its image."""
    found = [(image, key_lesion(track)) for image in result.images for track in lesion_tracks(image).values()]
    if not found:
        return None
    return max(found, key=lambda pair: (pair[1].probabilities.malignant, pair[1].measurements.area))


def summary_lines(result: StudyResult, sources: Mapping[str, Source], context: Context) -> list[str]:
    """The result of a study in one or two sentences."""
    template = context.templates.sr.summary
    analysed = sum(image.status is Status.ANALYSED for image in result.images)
    refused = len(result.images) - analysed
    lesions = sum(len(lesion_tracks(image)) for image in result.images)
    if not analysed:
        return [template.nothing_analysed.format(refused=refused)]
    worst = most_suspicious(result)
    if worst is None:
        return [template.nothing_found.format(images=analysed, refused=refused)]
    image, lesion = worst
    source = sources[image.reference.sop_instance_uid]
    return [
        template.found.format(lesions=lesions, images=analysed, refused=refused),
        template.most_suspicious.format(
            tracking_id=tracking_id(source, lesion.number, context),
            class_name=context.templates.wording.classes[lesion.probabilities.likeliest],
            percent=round(100 * lesion.probabilities.malignant),
        ),
    ]


def _outcome(result: StudyResult) -> Concept:
    """CID 6047 for the study."""
    analysed = [image for image in result.images if image.status is Status.ANALYSED]
    if not analysed:
        return codes.NONE_SUCCEEDED
    found = any(image.lesions for image in analysed)
    if len(analysed) == len(result.images):
        return codes.ALL_SUCCEEDED_WITH if found else codes.ALL_SUCCEEDED_WITHOUT
    return codes.NOT_ALL_SUCCEEDED_WITH if found else codes.NOT_ALL_SUCCEEDED_WITHOUT
