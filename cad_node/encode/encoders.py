"""The table of encoders: what is made of a study for each kind of object.

To add a kind: its name in `settings.ObjectKind` and `variants.KINDS`, a module
that makes it, and a function and a line here. An encoder first says which
objects there will be and under which UIDs; one that is stored already is then
not made at all.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from cad_node.domain import ImageResult, StudyResult
from cad_node.encode.documents import document_lines, document_uid
from cad_node.encode.presentation_state import encode_presentation_state, presentation_state_uid
from cad_node.encode.preview import render_preview
from cad_node.encode.provenance import Context
from cad_node.encode.secondary_capture import (
    capture_uid,
    encode_capture,
    encode_study_capture,
    study_capture_uid,
)
from cad_node.encode.seg import encode_seg, seg_groups, source_key
from cad_node.encode.source import Source
from cad_node.encode.sr import encode_sr, sr_uid
from cad_node.encode.template import Templates
from cad_node.encode.text_sr import KIND as TEXT_SR
from cad_node.encode.text_sr import encode_text_sr
from cad_node.encode.uids import returned_sr_uid, seg_uid
from cad_node.errors import EncodeError
from cad_node.settings import ObjectKind, SrClass

SR_CLASSES: dict[SrClass, str] = {
    "comprehensive-3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
}


@dataclass(frozen=True)
class Work:
    """All that an encoder may look at.

    `sources` and `previews` (PNG) are by SOP Instance UID of the image;
    `predecessors` are the reports made for this study before, oldest first.
    """

    result: StudyResult
    sources: Mapping[str, Source]
    predecessors: Sequence[Dataset] = ()
    previews: Mapping[str, bytes] = field(default_factory=dict)
    _pictures: dict[str, Image.Image] = field(default_factory=dict, compare=False, repr=False)

    def picture(self, image: ImageResult, templates: Templates) -> Image.Image:
        """The preview of an image in RGB, decoded once for all objects that show it.

        Raises
        ------
        EncodeError
            The image was not analysed, so that there is nothing to show.
        """
        uid = image.reference.sop_instance_uid
        if uid not in self._pictures:
            preview = self.previews.get(uid) or render_preview(image, templates)
            if preview is None:
                raise EncodeError("An image with lesions has no frame to show.")
            self._pictures[uid] = Image.open(io.BytesIO(preview)).convert("RGB")
        return self._pictures[uid]

    def images(self) -> list[tuple[ImageResult, Source]]:
        """All images of the study."""
        return [(image, self.sources[image.reference.sop_instance_uid]) for image in self.result.images]

    def with_lesions(self) -> Iterator[tuple[int, ImageResult, Source]]:
        """The images that show a lesion, with their position in the study."""
        for position, (image, source) in enumerate(self.images(), start=1):
            if image.lesions:
                yield position, image, source


@dataclass(frozen=True)
class Draft:
    """An object to be: its UID, the images that it belongs to (none: the study), and how to make it."""

    sop_instance_uid: str
    sources: tuple[str, ...]
    make: Callable[[], Dataset]


def _segs(work: Work, context: Context) -> Iterator[Draft]:
    images = [(image, source) for _, image, source in work.with_lesions()]
    for group in seg_groups(images, context):
        uid = seg_uid(source_key(group), context.provenance, context.wording)
        yield Draft(uid, _uids(group), partial(encode_seg, group, context))


def _uids(images: Iterable[tuple[ImageResult, Source]]) -> tuple[str, ...]:
    return tuple(image.reference.sop_instance_uid for image, _ in images)


def _reports(work: Work, context: Context) -> Iterator[Draft]:
    # A PACS that takes one class has never seen the reports of another.
    own = SR_CLASSES[context.settings.sr_class]
    same = [one for one in work.predecessors if one.get("SOPClassUID", own) == own]
    uid = _report_uid(sr_uid(work.result, context), [str(one.get("SOPInstanceUID")) for one in same])
    predecessor = same[-1] if same and same[-1].get("SOPInstanceUID") != uid else None
    make = partial(encode_sr, work.result, work.sources, context, predecessor, uid, same)
    yield Draft(uid, (), make)


def _report_uid(uid: str, earlier: Sequence[str]) -> str:
    """The UID of a report that comes after those: its own, unless another took its place meanwhile.

    That is so where a node goes back to a model: the report of old was superseded and
    cannot supersede in turn, so what it says is said once more, under a UID that follows
    from both.
    """
    if uid not in earlier or earlier[-1] == uid:
        return uid
    returned = {returned_sr_uid(uid, other) for other in earlier}
    return earlier[-1] if earlier[-1] in returned else returned_sr_uid(uid, earlier[-1])


def _presentation_states(work: Work, context: Context) -> Iterator[Draft]:
    for position, image, source in work.with_lesions():
        make = partial(encode_presentation_state, position, image, source, context)
        yield Draft(presentation_state_uid(image, context), (image.reference.sop_instance_uid,), make)


def _captures(work: Work, context: Context) -> Iterator[Draft]:
    images = work.images()
    yield Draft(
        study_capture_uid(work.result, context),
        (),
        lambda: encode_study_capture(
            work.result, document_lines(work.result, work.sources, context), images, context
        ),
    )
    for position, image, source in work.with_lesions():
        make = partial(_captured, work, position + 1, image, source, context)
        yield Draft(capture_uid(image, context), (image.reference.sop_instance_uid,), make)


def _captured(work: Work, number: int, image: ImageResult, source: Source, context: Context) -> Dataset:
    return encode_capture(number, image, source, work.picture(image, context.templates), context)


def _pdfs(work: Work, context: Context) -> Iterator[Draft]:
    from cad_node.encode.pdf import KIND, encode_pdf  # its library loads only where it is asked for

    def make() -> Dataset:
        pictures = {
            image.reference.sop_instance_uid: work.picture(image, context.templates)
            for _, image, _ in work.with_lesions()
        }
        return encode_pdf(work.result, work.sources, pictures, context)

    yield Draft(document_uid(KIND, work.result, context), (), make)


def _text_reports(work: Work, context: Context) -> Iterator[Draft]:
    make = partial(encode_text_sr, work.result, work.sources, context)
    yield Draft(document_uid(TEXT_SR, work.result, context), (), make)


ENCODERS: dict[ObjectKind, Callable[[Work, Context], Iterator[Draft]]] = {
    "seg": _segs,
    "presentation_state": _presentation_states,
    "secondary_capture": _captures,
    "pdf": _pdfs,
    "text_sr": _text_reports,
    "sr": _reports,
}
