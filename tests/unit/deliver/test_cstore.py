from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from cad_node.deliver import CStoreDestination, Destination
from cad_node.deliver.cstore import Verdict, verdict
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings
from tests.unit.deliver.peers import listening
from tests.unit.jobs.stubs import SEG_STORAGE, SR_STORAGE, write_object

STUDY = "1.2.3"
VERIFICATION = "1.2.840.10008.1.1"


class Pacs:
    """A Storage SCP on loopback; `answer` decides the status of each object."""

    def __init__(self) -> None:
        self.received: list[Dataset] = []
        self.contexts: set[tuple[str, str]] = set()
        self.calling: set[str] = set()
        self.answer: Callable[[str], int | Dataset] = lambda _uid: 0x0000
        self.port = 0

    def handle(self, event: Any) -> int | Dataset:
        self.received.append(event.dataset)
        self.contexts.add((event.context.abstract_syntax, event.context.transfer_syntax))
        self.calling.add(event.assoc.requestor.ae_title)
        return self.answer(event.dataset.SOPInstanceUID)

    @property
    def uids(self) -> list[str]:
        return [str(dataset.SOPInstanceUID) for dataset in self.received]


@contextmanager
def serving(
    pacs: Pacs,
    classes: tuple[str, ...] = (SEG_STORAGE, SR_STORAGE, VERIFICATION),
    syntax: str = ExplicitVRLittleEndian,
    require_calling: tuple[str, ...] = (),
    ae_title: str = "PACS",
    maximum_associations: int = 10,
) -> Iterator[Pacs]:
    ae = AE(ae_title=ae_title)
    ae.require_called_aet = True
    ae.require_calling_aet = list(require_calling)
    ae.maximum_associations = maximum_associations
    for sop_class in classes:
        ae.add_supported_context(
            sop_class, [syntax, ImplicitVRLittleEndian][-1 if sop_class == VERIFICATION else 0]
        )
    with listening(ae, [(evt.EVT_C_STORE, pacs.handle)]) as pacs.port:
        yield pacs


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with serving(Pacs()) as pacs:
        yield pacs


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_object(tmp_path / "seg-001.dcm", STUDY, "1.2.3.1", SEG_STORAGE)
    write_object(tmp_path / "seg-002.dcm", STUDY, "1.2.3.2", SEG_STORAGE)
    write_object(tmp_path / "sr.dcm", STUDY, "1.2.3.3", SR_STORAGE)
    (tmp_path / "index.html").write_text("<p>")
    return tmp_path


def destination(port: int, **changes: Any) -> Destination:
    values = {"name": "pacs", "host": "127.0.0.1", "port": port, "ae_title": "PACS", "timeout_s": 5.0}
    return CStoreDestination(CStoreDestinationSettings(**{**values, **changes}))


def test_every_object_is_sent_once_and_the_report_last(pacs: Pacs, results: Path) -> None:
    sent: list[str] = []

    destination(pacs.port, calling_ae_title="NODE7").send(results, (), sent.append)

    assert pacs.uids == sent == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert pacs.calling == {"NODE7"}
    assert pacs.contexts == {(SEG_STORAGE, ExplicitVRLittleEndian), (SR_STORAGE, ExplicitVRLittleEndian)}
    assert str(pacs.received[0].PatientName) == "Test^Patient"


def test_what_it_holds_is_not_sent_again(pacs: Pacs, results: Path) -> None:
    sent: list[str] = []

    destination(pacs.port).send(results, {"1.2.3.1", "1.2.3.3"}, sent.append)

    assert pacs.uids == sent == ["1.2.3.2"]


def test_when_it_holds_everything_nobody_is_called(results: Path) -> None:
    destination(1).send(results, {"1.2.3.1", "1.2.3.2", "1.2.3.3"}, pytest.fail)


def test_a_pacs_that_knows_implicit_vr_only_gets_it(results: Path) -> None:
    with serving(Pacs(), syntax=ImplicitVRLittleEndian) as pacs:
        destination(pacs.port).send(results, (), lambda _uid: None)

    assert {syntax for _, syntax in pacs.contexts} == {ImplicitVRLittleEndian}
    assert pacs.received[2].Modality == "SR"


def test_a_class_it_does_not_take_keeps_back_no_other(results: Path) -> None:
    sent: list[str] = []
    with (
        serving(Pacs(), classes=(SR_STORAGE,)) as pacs,
        pytest.raises(DestinationRefusedError, match="takes no Segmentation Storage"),
    ):
        destination(pacs.port).send(results, (), sent.append)

    assert sent == ["1.2.3.3"]


def test_a_pacs_that_takes_none_of_them_refuses(results: Path) -> None:
    with (
        serving(Pacs(), classes=(VERIFICATION,)) as pacs,
        pytest.raises(DestinationRefusedError, match="no presentation context"),
    ):
        destination(pacs.port).send(results, (), pytest.fail)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0xA700, DestinationUnreachableError),
        (0xA900, DestinationRefusedError),
        (0xC000, DestinationRefusedError),
    ],
)
def test_a_status_for_one_object_lets_the_others_through(
    pacs: Pacs, results: Path, status: int, error: type[Exception]
) -> None:
    pacs.answer = lambda uid: status if uid == "1.2.3.2" else 0x0000
    sent: list[str] = []

    with pytest.raises(error, match=f"0x{status:04X}"):
        destination(pacs.port).send(results, (), sent.append)

    assert sent == ["1.2.3.1", "1.2.3.3"]


def test_what_may_still_work_decides_over_a_refusal(pacs: Pacs, results: Path) -> None:
    pacs.answer = lambda uid: {"1.2.3.1": 0xC000, "1.2.3.2": 0xA700}.get(uid, 0x0000)

    with pytest.raises(DestinationUnreachableError):
        destination(pacs.port).send(results, (), lambda _uid: None)


def test_a_warning_counts_as_sent_and_is_logged_without_patient_data(
    pacs: Pacs, results: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.answer = lambda _uid: 0xB000
    sent: list[str] = []

    destination(pacs.port).send(results, (), sent.append)

    assert len(sent) == 3
    assert "0xB000" in caplog.text
    assert "Patient" not in caplog.text.replace("Test::", "")


def test_an_unknown_calling_ae_title_is_tried_again_and_named(results: Path) -> None:
    with (
        serving(Pacs(), require_calling=("ELSE",)) as pacs,
        pytest.raises(DestinationUnreachableError, match="calling AE title") as caught,
    ):
        destination(pacs.port).send(results, (), pytest.fail)

    assert "CADNODE" in caught.value.hint


def test_a_wrong_called_ae_title_is_tried_again_and_named(results: Path) -> None:
    with (
        serving(Pacs(), ae_title="OTHER") as pacs,
        pytest.raises(DestinationUnreachableError, match="called AE title"),
    ):
        destination(pacs.port).send(results, (), pytest.fail)


def test_a_busy_pacs_is_tried_again(results: Path) -> None:
    with serving(Pacs(), maximum_associations=1) as pacs:
        ae = AE()
        ae.add_requested_context(VERIFICATION)
        other = ae.associate("127.0.0.1", pacs.port, ae_title="PACS")
        assert other.is_established
        with pytest.raises(DestinationUnreachableError, match="too many associations"):
            destination(pacs.port).send(results, (), pytest.fail)
        other.release()


def test_a_host_without_an_address_is_tried_again(results: Path) -> None:
    with pytest.raises(DestinationUnreachableError, match="cannot be reached"):
        destination(104, host="nowhere.invalid").send(results, (), pytest.fail)


def test_a_peer_that_hangs_in_the_middle_keeps_what_it_took(pacs: Pacs, results: Path) -> None:
    end = threading.Event()

    def hang(uid: str) -> int:
        if uid == "1.2.3.2":
            end.wait(60)
        return 0x0000

    pacs.answer = hang
    sent: list[str] = []
    try:
        with pytest.raises(DestinationUnreachableError, match="no answer"):
            destination(pacs.port, timeout_s=2).send(results, (), sent.append)
    finally:
        end.set()

    assert sent == ["1.2.3.1"]


@contextmanager
def network(port: int, *, stops_after_bytes: int | None = None) -> Iterator[int]:
    """A way to the PACS that takes 8 MB a second, or after so many bytes nothing more."""
    end = threading.Event()

    def back(there: socket.socket, here: socket.socket) -> None:
        with suppress(OSError):
            while data := there.recv(65536):
                here.sendall(data)

    def forth() -> None:
        here, _ = listener.accept()
        with here, socket.create_connection(("127.0.0.1", port)) as there, suppress(OSError):
            threading.Thread(target=back, args=(there, here), daemon=True).start()
            taken = 0
            while (stops_after_bytes is None or taken < stops_after_bytes) and (data := here.recv(1 << 18)):
                there.sendall(data)
                taken += len(data)
                end.wait(0.03)
            if stops_after_bytes is not None:
                end.wait(60)
            there.shutdown(socket.SHUT_RDWR)  # the thread that reads it would keep it open

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=forth)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            end.set()
            thread.join()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Results of one object, larger than what the buffers of a connection hold."""
    path = write_object(tmp_path / "seg-001.dcm", STUDY, "1.2.3.1", SEG_STORAGE)
    dataset = dcmread(path)
    dataset.add_new(0x00420011, "OB", bytes(30_000_000))
    dataset.save_as(path)
    return tmp_path


def test_a_peer_that_stops_reading_in_the_middle_holds_nobody(pacs: Pacs, large: Path) -> None:
    with (
        network(pacs.port, stops_after_bytes=1_000_000) as port,
        pytest.raises(DestinationUnreachableError, match="no answer"),
    ):
        destination(port, timeout_s=1).send(large, (), pytest.fail)


def test_a_large_object_may_take_longer_over_a_slow_network_than_an_answer(pacs: Pacs, large: Path) -> None:
    sent: list[str] = []
    with network(pacs.port) as port:
        destination(port, timeout_s=2).send(large, (), sent.append)
    assert sent == ["1.2.3.1"]


def test_verify_echoes(pacs: Pacs) -> None:
    destination(pacs.port).verify()


def test_verify_says_what_is_wrong(pacs: Pacs) -> None:
    with pytest.raises(DestinationUnreachableError, match="called AE title"):
        destination(pacs.port, ae_title="WRONG").verify()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, Verdict.SENT),
        (0xB000, Verdict.SENT),
        (0xB006, Verdict.SENT),
        (0xB007, Verdict.SENT),
        (0x0111, Verdict.SENT),
        (0xA700, Verdict.RETRY),
        (0xA702, Verdict.RETRY),
        (0x0110, Verdict.RETRY),
        (0x0124, Verdict.RETRY),
        (0xA900, Verdict.REFUSED),
        (0xA9FF, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),
        (0xCFFF, Verdict.REFUSED),
        (0x0117, Verdict.REFUSED),
        (0x0122, Verdict.REFUSED),
        (0x0211, Verdict.REFUSED),
        (0x0212, Verdict.REFUSED),
        (0x1234, Verdict.RETRY),
    ],
)
def test_each_status_means_one_thing(status: int, expected: Verdict) -> None:
    assert verdict(status)[0] is expected


def test_every_status_has_a_meaning() -> None:
    for status in range(0x10000):
        verdict(status)
