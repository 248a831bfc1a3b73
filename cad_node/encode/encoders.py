"""The table of encoders: what is made of a study for each kind of object.

To add a kind: its name in `settings.ObjectKind` and `variants.KINDS`, a module
that makes it, and a function and a line here. An encoder first says which
objects there will be and under which UIDs; one that is stored already is then
not made at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from cad_node.domain import ImageResult, StudyResult
from cad_node.encode.provenance import Context
from cad_node.encode.seg import encode_seg, seg_groups, source_key
from cad_node.encode.source import Source
from cad_node.encode.sr import encode_sr, sr_uid
from cad_node.encode.uids import seg_uid
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

    def with_lesions(self) -> Iterator[tuple[int, ImageResult, Source]]:
        """The images that show a lesion, with their position in the study."""
        for position, image in enumerate(self.result.images, start=1):
            if image.lesions:
                yield position, image, self.sources[image.reference.sop_instance_uid]


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
    uid = sr_uid(work.result, context)
    # A PACS that takes one class has never seen the reports of another.
    own = SR_CLASSES[context.settings.sr_class]
    same = [one for one in work.predecessors if one.get("SOPClassUID", own) == own]
    predecessor = same[-1] if same and same[-1].get("SOPInstanceUID") != uid else None
    yield Draft(uid, (), partial(encode_sr, work.result, work.sources, context, predecessor))


ENCODERS: dict[ObjectKind, Callable[[Work, Context], Iterator[Draft]]] = {
    "seg": _segs,
    "sr": _reports,
}
