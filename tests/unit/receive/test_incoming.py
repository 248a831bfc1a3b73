import subprocess
import sys

from cad_node.errors import InboxFullError
from cad_node.receive import incoming
from cad_node.receive.incoming import IncomingDataset, StoreRequest
from tests.factories import us_image
from tests.receiving import EXPLICIT, US_IMAGE, dataset_bytes

REQUEST = StoreRequest(US_IMAGE, "1.2.3", US_IMAGE, EXPLICIT, "SCANNER")


def _write(dataset: IncomingDataset, content: bytes, step: int = 1000) -> None:
    for start in range(0, len(content), step):
        dataset.write(memoryview(content)[start : start + step])


def test_a_small_data_set_stays_in_memory(tmp_path):
    image = us_image(rows=32, columns=32)
    dataset = IncomingDataset(REQUEST, b"HEADER", tmp_path)
    _write(dataset, dataset_bytes(image))

    assert dataset.part10() == b"HEADER" + dataset_bytes(image)
    assert dataset.identity(10**9).sop_instance_uid == image.SOPInstanceUID
    assert list(tmp_path.iterdir()) == []


def test_a_large_data_set_goes_to_a_file_and_is_gone_when_discarded(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_IN_MEMORY_BYTES", 2000)
    image = us_image(rows=64, columns=64)
    dataset = IncomingDataset(REQUEST, b"HEADER", tmp_path)
    _write(dataset, dataset_bytes(image))
    path = dataset.part10()

    assert path.read_bytes() == b"HEADER" + dataset_bytes(image)
    assert dataset.identity(10**9).sop_instance_uid == image.SOPInstanceUID
    dataset.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_moved_away_survives_the_discard(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_IN_MEMORY_BYTES", 10)
    dataset = IncomingDataset(REQUEST, b"HEADER", tmp_path)
    _write(dataset, bytes(100))
    dataset.part10().rename(tmp_path / "kept")
    dataset.discard()

    assert (tmp_path / "kept").read_bytes() == b"HEADER" + bytes(100)


def test_without_a_folder_all_stays_in_memory(monkeypatch):
    monkeypatch.setattr(incoming, "_IN_MEMORY_BYTES", 10)
    dataset = IncomingDataset(REQUEST, b"", None)
    _write(dataset, bytes(5000))

    assert dataset.part10() == bytes(5000)


_FILLS_UP = """
import resource, signal, sys
from pathlib import Path
from cad_node.receive import incoming
from tests.unit.receive.test_incoming import REQUEST, _write

incoming._IN_MEMORY_BYTES = 10
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4500, resource.RLIM_INFINITY))
dataset = incoming.IncomingDataset(REQUEST, b"", Path(sys.argv[1]))
_write(dataset, bytes(5000))
sys.exit(type(dataset.refusal).__name__)
"""


def test_a_disk_that_fills_up_within_the_last_bytes_is_noticed(tmp_path):
    # In a process of its own: the limit stands for a full disk, and holds for the whole process.
    ended = subprocess.run(
        [sys.executable, "-c", _FILLS_UP, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.stderr.strip() == "InboxFullError"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_becomes_the_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_IN_MEMORY_BYTES", 10)
    dataset = IncomingDataset(REQUEST, b"", tmp_path / "absent")
    _write(dataset, bytes(5000))

    assert isinstance(dataset.refusal, InboxFullError)
    assert dataset.size_bytes == 5000


def test_the_reserve_is_kept_while_a_large_data_set_comes_in(tmp_path, monkeypatch):
    """Several at once would otherwise fill the disk, of which each found enough when it began."""
    monkeypatch.setattr(incoming, "_IN_MEMORY_BYTES", 10)
    written = []
    dataset = IncomingDataset(
        REQUEST, b"", tmp_path, has_room=lambda size: sum(written) + size <= 3000 and not written.append(size)
    )
    _write(dataset, bytes(5000))

    assert isinstance(dataset.refusal, InboxFullError)
    assert written == [1000, 1000, 1000]
    assert list(tmp_path.iterdir()) == []


def test_refused_bytes_are_counted_and_dropped(tmp_path):
    dataset = IncomingDataset(REQUEST, b"", tmp_path, InboxFullError("full"))
    _write(dataset, bytes(5000))

    assert dataset.size_bytes == 5000
    assert dataset.part10() == b""
