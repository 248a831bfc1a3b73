"""Each way in which no association comes about, against small real peers."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.transport import AssociationSocket

from cad_node.deliver.association import open_association
from cad_node.errors import DeliveryError, DestinationRefusedError, DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings
from tests.unit.deliver.peers import closes, peer, resets, says

VERIFICATION = "1.2.840.10008.1.1"
# PS3.8 sections 9.3.4 and 9.3.8: type, reserved, length, then source and reason at the end.
WRONG_CALLED_AE_TITLE = bytes.fromhex("0300 00000004 00010107")
WRONG_CONTEXT_NAME = bytes.fromhex("0300 00000004 00010102")
ABORT = bytes.fromhex("0700 00000004 00000000")


def fails_at(port: int, timeout_s: float = 20.0) -> DeliveryError:
    settings = CStoreDestinationSettings(
        name="pacs", host="127.0.0.1", port=port, ae_title="PACS", timeout_s=timeout_s
    )
    with pytest.raises(DeliveryError) as caught:
        open_association(settings, [(VERIFICATION, [ImplicitVRLittleEndian])])
    return caught.value


@pytest.fixture(params=["in time", "late"])
def wakes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late: our thread sees the connection only after the peer has answered and closed it."""
    if request.param == "in time":
        return
    make = AssociationSocket.__init__

    def make_with_a_late_thread(self: AssociationSocket, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        connected = self._ready.wait

        def wait(timeout: float | None = None) -> bool:
            answer = connected(timeout)
            deadline = time.monotonic() + 20
            while self.assoc.dul.state_machine.current_state not in {"Sta1", "Sta13"}:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            return answer

        monkeypatch.setattr(self._ready, "wait", wait)

    monkeypatch.setattr(AssociationSocket, "__init__", make_with_a_late_thread)


@pytest.mark.usefixtures("wakes")
def test_a_rejection_is_named_even_where_the_connection_is_closed_before_we_look() -> None:
    with peer(says(WRONG_CALLED_AE_TITLE)) as port:
        error = fails_at(port)

    assert isinstance(error, DestinationUnreachableError)
    assert error.problem == "Destination pacs rejected the association: it is not the called AE title."
    assert "PACS" in error.hint


@pytest.mark.usefixtures("wakes")
def test_a_peer_that_speaks_another_dicom_is_not_asked_again() -> None:
    with peer(says(WRONG_CONTEXT_NAME)) as port:
        assert isinstance(fails_at(port), DestinationRefusedError)


@pytest.mark.usefixtures("wakes")
@pytest.mark.parametrize(
    "answer", [closes, resets, says(ABORT), says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), says(b"\x03\x00")]
)
def test_a_peer_that_closes_without_an_answer_is_said_to_have_been_reached(
    answer: Callable[[socket.socket], None],
) -> None:
    with peer(answer) as port:
        error = fails_at(port)

    assert isinstance(error, DestinationUnreachableError)
    assert f"took the connection at 127.0.0.1:{port} and closed" in error.problem
    assert "DICOM port" in error.hint


def test_a_peer_that_closes_before_it_has_read_is_said_to_have_been_reached() -> None:
    with peer(closes, reads=False) as port:
        error = fails_at(port)

    assert "and closed or aborted it without an answer" in error.problem


def test_a_peer_that_hangs_is_said_to_have_been_reached() -> None:
    done = threading.Event()
    with peer(lambda _connection: bool(done.wait(20))) as port:
        try:
            error = fails_at(port, timeout_s=0.5)
        finally:
            done.set()

    assert isinstance(error, DestinationUnreachableError)
    assert f"took the connection at 127.0.0.1:{port} and gave no answer within 0.5 s" in error.problem
    assert "timeout_s" in error.hint


def test_a_port_where_nobody_listens_cannot_be_reached() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = fails_at(port)

    assert isinstance(error, DestinationUnreachableError)
    assert error.problem == f"Destination pacs cannot be reached at 127.0.0.1:{port}."
    assert "host and port" in error.hint
    # A socket left open would be an error now: a PACS that is down for a night is tried hundreds of times.
    del error
    gc.collect()
