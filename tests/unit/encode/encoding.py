"""The one call that encoder tests make, with what they rarely vary filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from pydicom.dataset import Dataset

from cad_node.domain import StudyResult
from cad_node.encode import EncodedObject, Templates, encode_study
from cad_node.settings import ResultSettings
from cad_node.variants import Variant
from tests.results import MADE_AT


def encode(
    result: StudyResult,
    sources: Sequence[Dataset],
    templates: Templates,
    *,
    settings: ResultSettings | None = None,
    predecessor: Dataset | None = None,
    variants: Sequence[Variant] | None = None,
    made_at: datetime = MADE_AT,
    reuse: Callable[[str], Dataset | None] | None = None,
) -> tuple[EncodedObject, ...]:
    return encode_study(
        result,
        {str(source.SOPInstanceUID): source for source in sources},
        templates=templates,
        settings=settings or ResultSettings(),
        predecessors=[] if predecessor is None else [predecessor],
        variants=variants,
        made_at=made_at,
        reuse=reuse,
    )
