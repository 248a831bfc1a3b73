"""The table of encoders: what is made of a study for each kind of object.

To add a kind: its name in `settings.ObjectKind` and `variants.KINDS`, a module
that makes it, and a function and a line here. An encoder first says which
objects there will be and under which UIDs; one that is stored already is then
not made at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from cad_node.domain import ImageResult, StudyResult
from cad_node.encode.provenance import Context
from cad_node.encode.seg import encode_seg
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
    """An object to be: its UID, the image that it belongs to, and how to make it."""

    sop_instance_uid: str
    source_sop_instance_uid: str | None
    make: Callable[[], Dataset]


def _segs(work: Work, context: Context) -> Iterator[Draft]:
    for _, image, source in work.with_lesions():
        uid = image.reference.sop_instance_uid
        made_uid = seg_uid(uid, context.provenance, context.wording)
        yield Draft(made_uid, uid, partial(encode_seg, image, source, context))


def _reports(work: Work, context: Context) -> Iterator[Draft]:
    uid = sr_uid(work.result, context)
    # A PACS that takes one class has never seen the reports of another.
    own = SR_CLASSES[context.settings.sr_class]
    same = [one for one in work.predecessors if one.get("SOPClassUID", own) == own]
    predecessor = same[-1] if same and same[-1].get("SOPInstanceUID") != uid else None
    yield Draft(uid, None, partial(encode_sr, work.result, work.sources, context, predecessor))


ENCODERS: dict[ObjectKind, Callable[[Work, Context], Iterator[Draft]]] = {
    "seg": _segs,
    "sr": _reports,
}
