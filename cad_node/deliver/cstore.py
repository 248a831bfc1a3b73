"""A PACS that takes results by C-STORE: the Storage SCU of PS3.4 annex B.

What an answer means for the next attempt is one table, `verdict`; what may keep
an association from being opened is in `association.py`. A failure is for ever
only where the peer has judged the object itself; whatever somebody at the other
end can mend is tried again, with growing delays and an end (`jobs.retry_give_up_s`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.association import Association

from cad_node.deliver.association import open_association, refused, unreachable
from cad_node.deliver.objects import ResultObject, result_objects
from cad_node.errors import DeliveryError, DestinationRefusedError
from cad_node.settings import CStoreDestinationSettings
from cad_node.variants import Variant

logger = logging.getLogger(__name__)

_VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 annex A


class Verdict(Enum):
    """What a C-STORE status means for the object."""

    SENT = "sent"
    RETRY = "retry"
    REFUSED = "refused"


# PS3.7 annex C and PS3.4 table B.2-1. First match counts: (lowest, highest, verdict, meaning).
_STATUSES: tuple[tuple[int, int, Verdict, str], ...] = (
    (0x0000, 0x0000, Verdict.SENT, "success"),
    (0x0001, 0x0001, Verdict.SENT, "warning: requested optional attributes are not supported"),
    (0x0107, 0x0107, Verdict.SENT, "warning: attribute list error"),
    # It holds the object already, and derived UIDs make both the same.
    (0x0111, 0x0111, Verdict.SENT, "duplicate SOP instance"),
    (0x0116, 0x0116, Verdict.SENT, "warning: attribute value out of range"),
    (0xB000, 0xBFFF, Verdict.SENT, "warning: stored with changes"),
    (0xA700, 0xA7FF, Verdict.RETRY, "out of resources"),
    (0x0110, 0x0110, Verdict.RETRY, "processing failure"),
    # Rights are given by somebody at the other end, as AE titles are.
    (0x0124, 0x0124, Verdict.RETRY, "not authorised"),
    (0x0210, 0x0210, Verdict.RETRY, "duplicate invocation"),
    (0xFE00, 0xFE00, Verdict.RETRY, "cancelled"),
    (0x0105, 0x0106, Verdict.REFUSED, "invalid attribute"),
    (0x0112, 0x0115, Verdict.REFUSED, "invalid argument"),
    (0x0117, 0x0122, Verdict.REFUSED, "invalid SOP instance or SOP class not supported"),
    (0x0211, 0x0213, Verdict.REFUSED, "operation not understood"),
    (0xA900, 0xA9FF, Verdict.REFUSED, "data set does not match SOP class"),
    (0xC000, 0xCFFF, Verdict.REFUSED, "cannot understand"),
    # Not in the standard, so nothing is known; the end of the retries bounds it.
    (0x0000, 0xFFFF, Verdict.RETRY, "unknown status"),
)


def verdict(status: int) -> tuple[Verdict, str]:
    """What a status of a C-STORE response means for the object, and in words.

    Examples
    --------
    >>> verdict(0xA700)
    (<Verdict.RETRY: 'retry'>, 'out of resources')
    """
    return next((what, words) for low, high, what, words in _STATUSES if low <= status <= high)


class CStoreDestination:
    """Sends each object that is wanted there once, in one association, SEG before the SR that names it."""

    def __init__(
        self, settings: CStoreDestinationSettings, wanted: Collection[Variant] | None = None
    ) -> None:
        self._settings = settings
        self._wanted = wanted

    def send(self, results: Path, already_sent: Collection[str], on_sent: Callable[[str], None]) -> None:
        """Send what the PACS does not hold; a refused object does not keep back the others."""
        wanted = result_objects(results, self._wanted)
        objects = [item for item in wanted if item.sop_instance_uid not in already_sent]
        if not objects:
            return
        problems: list[DeliveryError] = []
        with self._association(_contexts(objects)) as association:
            for item in objects:
                try:
                    self._store(association, item)
                except DeliveryError as error:
                    problems.append(error)
                    if not association.is_established:
                        break
                else:
                    on_sent(item.sop_instance_uid)
        # What may still work decides: it is tried again, and the refusals come up again after it.
        problems.sort(key=lambda error: isinstance(error, DestinationRefusedError))
        if problems:
            raise problems[0]

    def verify(self) -> None:
        """C-ECHO."""
        with self._association([(_VERIFICATION, [ImplicitVRLittleEndian])]) as association:
            try:
                status = association.send_c_echo()
            except RuntimeError as error:
                raise self._unreachable("closed the association", "See the log of the PACS.") from error
        if "Status" not in status:
            raise self._unreachable("did not answer C-ECHO", "See the log of the PACS.")
        if status.Status != 0x0000:
            raise self._unreachable(f"answered C-ECHO with 0x{status.Status:04X}", "See the log of the PACS.")

    def _store(self, association: Association, item: ResultObject) -> None:
        what = UID(item.sop_class_uid).name
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        if item.sop_class_uid not in accepted:
            raise self._refused(f"takes no {what} in its transfer syntax")
        try:
            dataset = dcmread(item.path)
            status: Dataset = association.send_c_store(dataset)
        except (InvalidDicomError, EOFError, AttributeError, ValueError) as error:
            # ValueError is pynetdicom's word for: no accepted context, or not encodable.
            raise self._refused(f"cannot be sent a {what} ({type(error).__name__})") from error
        except RuntimeError as error:
            raise self._unreachable("closed the association", "See the log of the PACS.") from error
        if "Status" not in status:
            raise self._unreachable(f"gave no answer to a {what}", "See the log of the PACS.")
        judged, words = verdict(status.Status)
        answer = f"answered 0x{status.Status:04X} ({words}) to a {what}"
        if judged is Verdict.RETRY:
            raise self._unreachable(answer, "See the log of the PACS.")
        if judged is Verdict.REFUSED:
            raise self._refused(answer)
        if status.Status != 0x0000:
            logger.warning("destination %s %s", self._settings.name, answer)

    @contextmanager
    def _association(self, contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Association]:
        association = open_association(self._settings, contexts)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _unreachable(self, what: str, hint: str) -> DeliveryError:
        return unreachable(self._settings, what, hint)

    def _refused(self, what: str) -> DeliveryError:
        return refused(self._settings, what)


def _contexts(objects: Sequence[ResultObject]) -> list[tuple[str, list[str]]]:
    """One presentation context for each SOP Class and Transfer Syntax that there is.

    Implicit VR Little Endian is proposed beside them, as PS3.5 section 10.1 asks of
    whoever sends uncompressed objects.
    """
    pairs: dict[tuple[str, str], None] = {}
    for item in objects:
        pairs[item.sop_class_uid, item.transfer_syntax_uid] = None
        pairs[item.sop_class_uid, ImplicitVRLittleEndian] = None
    return [(sop_class, [transfer_syntax]) for sop_class, transfer_syntax in pairs]
