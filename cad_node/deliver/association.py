"""An association with a PACS, or why there is none: the requestor's side of PS3.8.

Every way to fail has its own words and next step, since each has another cause: nobody
listens, whoever listens is no PACS or lets the node not in, the PACS hangs, it says no.
"""

from __future__ import annotations

import queue
import ssl
import time
from collections.abc import Sequence
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT

from cad_node.deliver.secure import application_entity, last_sent_at, tls_failure, why_no_tls
from cad_node.errors import (
    DeliveryError,
    DestinationRefusedError,
    DestinationUnreachableError,
    SettingsError,
)
from cad_node.settings import CStoreDestinationSettings

# PS3.8 table 9-21: (source, reason) of an A-ASSOCIATE-RJ.
_REASONS = {
    (1, 1): "without a reason",
    (1, 2): "it does not know the DICOM application context",
    (1, 3): "it does not know the calling AE title",
    (1, 7): "it is not the called AE title",
    (2, 1): "without a reason",
    (2, 2): "it does not know this protocol version",
    (3, 1): "it is congested",
    (3, 2): "it serves too many associations",
}
# Not DICOM as the node speaks it: no waiting changes that.
_FOR_EVER = {(1, 2), (2, 2)}


class _Heard:
    """What came back while an association was asked for."""

    def __init__(self) -> None:
        self.connected = False
        self.primitives: list[object] = []

    def opened(self, _event: object) -> None:
        self.connected = True

    def received(self, event: Any) -> None:
        self.primitives.append(event.primitive)

    @property
    def rejection(self) -> A_ASSOCIATE | None:
        said_no = (one for one in self.primitives if isinstance(one, A_ASSOCIATE) and one.result)
        return next(said_no, None)

    @property
    def ended(self) -> bool:
        """The peer aborted, closed the connection, or said what is not DICOM."""
        return any(isinstance(one, A_ABORT | A_P_ABORT) for one in self.primitives)


def open_association(
    settings: CStoreDestinationSettings,
    contexts: Sequence[tuple[str, Sequence[str]]],
    handlers: Sequence[tuple[Any, Any]] = (),
    lacking: tuple[str, ...] = ("takes none of the objects: no presentation context was accepted",),
) -> Association:
    """An established association.

    Parameters
    ----------
    contexts
        (abstract syntax, transfer syntaxes) of each.
    handlers
        pynetdicom's events and what is called for them.
    lacking
        What `refused` is given where no context is accepted.

    Raises
    ------
    DestinationUnreachableError
        There may be one later.
    DestinationRefusedError
        Not with these contexts, or not with this peer.
    """
    try:
        ae = application_entity(settings)
    except SettingsError as error:
        problem = error.problem.rstrip(".")
        raise unreachable(settings, f"cannot be spoken to over TLS: {problem}", error.hint) from error
    ae.connection_timeout = settings.timeout_s
    ae.acse_timeout = settings.timeout_s
    ae.dimse_timeout = settings.timeout_s
    ae.network_timeout = settings.timeout_s
    for abstract_syntax, transfer_syntaxes in contexts:
        ae.add_requested_context(abstract_syntax, list(transfer_syntaxes))
    heard = _Heard()
    try:
        association = ae.associate(
            settings.host,
            settings.port,
            ae_title=settings.ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, heard.opened), (evt.EVT_ACSE_RECV, heard.received), *handlers],
        )
    except OSError as error:
        raise unreachable(
            settings,
            f"cannot be reached: the name {settings.host} is not known",
            "Check host, and the name server.",
        ) from error
    if not association.is_established:
        raise _not_established(settings, association, heard, lacking)
    _count_from_the_last_byte(association, settings.timeout_s)
    return association


def _count_from_the_last_byte(association: Association, timeout_s: float) -> None:
    """Wait for an answer from when the request has gone out: over a slow network that takes its time.

    pynetdicom counts from when it begins to send.
    """

    def get_msg(block: bool = False) -> tuple[Any, Any]:
        while True:
            try:
                return association.dimse.msg_queue.get(block=block, timeout=timeout_s)
            except queue.Empty:
                if not block or time.monotonic() - last_sent_at(association) >= timeout_s:
                    return None, None

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]


def unreachable(settings: CStoreDestinationSettings, what: str, hint: str) -> DestinationUnreachableError:
    """A failure for now; `what` goes on after the destination's name."""
    return DestinationUnreachableError(f"Destination {settings.name} {what}.", hint)


def refused(
    settings: CStoreDestinationSettings,
    what: str,
    hint: str = "Change the PACS, or [results] in the settings, then: cad-node jobs retry.",
) -> DestinationRefusedError:
    """A failure for ever; `what` goes on after the destination's name."""
    return DestinationRefusedError(f"Destination {settings.name} {what}.", hint)


def _not_established(
    settings: CStoreDestinationSettings, association: Association, heard: _Heard, lacking: tuple[str, ...]
) -> DeliveryError:
    # pynetdicom asks whether the connection is still open before it looks for the answer. A peer
    # that rejects closes at once; where our thread wakes after that, the answer lies unread.
    while association.dul.receive_pdu() is not None:
        pass
    # Nor does it close its socket where the peer was the first to.
    if association.dul.socket is not None and association.dul.socket.socket is not None:
        association.dul.socket.socket.close()
    where = f"{settings.host}:{settings.port}"
    no_tls = tls_failure(association)
    if not heard.connected:
        what = f"cannot be reached at {where}"
        hint = "Check host and port, that the PACS runs, and that no firewall is between."
        return unreachable(settings, *(why_no_tls(settings, no_tls) if no_tls else (what, hint)))
    if heard.rejection is not None:
        return _rejected(settings, heard.rejection)
    if association.accepted_contexts:
        return unreachable(settings, "accepted the association and ended it at once", "See its log.")
    if association.acceptor.primitive is not None:
        return refused(settings, *lacking)
    if isinstance(no_tls, ssl.SSLError):
        # By TLS 1.3 a peer may refuse our certificate when the handshake is over for us.
        what, hint = why_no_tls(settings, no_tls)
    elif heard.ended:
        what = f"took the connection at {where} and closed or aborted it without an answer"
        wrong = (
            "it wants no other certificate of the node" if settings.tls else "port is the PACS's DICOM port"
        )
        hint = f"Check that {wrong} and that it lets this node's address in; its log may say more."
    else:
        what = f"took the connection at {where} and gave no answer within {settings.timeout_s:g} s"
        hint = (
            "The PACS hangs or is very busy, or port is not its DICOM port: see its log, or raise timeout_s."
        )
    return unreachable(settings, what, hint)


def _rejected(settings: CStoreDestinationSettings, answer: A_ASSOCIATE) -> DeliveryError:
    source, reason = answer.result_source or 0, answer.diagnostic or 0
    words = _REASONS.get((source, reason), f"for reason {source}/{reason}")
    if (source, reason) in _FOR_EVER:
        return refused(settings, f"rejected the association: {words}")
    # "Permanent" here often means: until an administrator enters the AE title. Then all that
    # waits should go out by itself, so it counts as a failure for now.
    return unreachable(
        settings,
        f"rejected the association: {words}",
        f"The PACS must know AE title {settings.calling_ae_title} and itself be called {settings.ae_title}.",
    )
