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
from cad_node.domain import ImageResult, Status, StudyResult
from cad_node.encode.provenance import Context, coded
from cad_node.encode.source import Source
from cad_node.encode.sr_words import partly, summary_lines


def evaluations(result: StudyResult, sources: Mapping[str, Source], context: Context) -> ContainerContentItem:
    """The study in a few sentences, the images that were not or only partly analysed, and what the report is not."""
    container = ContainerContentItem(coded(codes.QUALITATIVE_EVALUATIONS), relationship_type="CONTAINS")
    outcome = CodeContentItem(
        coded(codes.FINDINGS_SUMMARY), coded(_outcome(result)), relationship_type="CONTAINS"
    )
    limited = [
        _limit(image, context)
        for image in result.images
        if image.is_partial or image.status is not Status.ANALYSED
    ]
    summary = [comment(text) for text in summary_lines(result, sources, context)]
    disclaimer = comment(context.templates.sr.document.disclaimer)
    container.ContentSequence = ContentSequence([outcome, *summary, *limited, disclaimer])
    return container


def _limit(image: ImageResult, context: Context) -> CodeContentItem:
    """That an image, or part of it, was not analysed, why, and which image that is."""
    outcome, text = image_outcome(image, context)
    text = partly(image, context.templates) or text
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
    template = context.templates.sr.image
    if image.is_partial:
        return codes.PARTIALLY_SUCCEEDED, template.no_finding_partly
    why = context.templates.wording.reasons[image.reason] if image.reason else ""
    return {
        Status.ANALYSED: (codes.SUCCEEDED, template.no_finding),
        Status.NOT_ANALYSED: (codes.NOT_ATTEMPTED, template.not_analysed.format(reason=why)),
        Status.FAILED: (codes.FAILED, template.failed.format(reason=why)),
    }[image.status]


def reason(image: ImageResult, context: Context) -> CodedConcept | None:
    """Why an image, or part of it, was not analysed, coded; None where all of it was."""
    if image.reason is None:
        return None
    meaning = context.templates.wording.reasons[image.reason]
    return coded(Concept(codes.REASONS[image.reason], codes.PRIVATE_SCHEME, meaning[:64]))


def _outcome(result: StudyResult) -> Concept:
    """CID 6047 for the study."""
    analysed = [image for image in result.images if image.status is Status.ANALYSED]
    if not analysed:
        return codes.NONE_SUCCEEDED
    found = any(image.lesions for image in analysed)
    whole = len(analysed) == len(result.images) and not any(image.is_partial for image in analysed)
    if whole and not result.unreadable:
        return codes.ALL_SUCCEEDED_WITH if found else codes.ALL_SUCCEEDED_WITHOUT
    return codes.NOT_ALL_SUCCEEDED_WITH if found else codes.NOT_ALL_SUCCEEDED_WITHOUT
