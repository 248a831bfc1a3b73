import dataclasses
import errno
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cad_node.domain import ReceivedInstance
from cad_node.errors import InboxFullError, JobError, ReceiveError
from cad_node.receive.part10 import file_header
from cad_node.store import inbox as inbox_module
from cad_node.store.inbox import Inbox
from tests.receiving import EXPLICIT, US_IMAGE


def _received(
    study="1.2.3", series="1.2.3.4", sop="1.2.3.4.5", dataset=b"pixels", calling="SCANNER"
) -> ReceivedInstance:
    header = file_header(US_IMAGE, sop, EXPLICIT, calling, "CADNODE")
    return ReceivedInstance(study, series, sop, US_IMAGE, EXPLICIT, calling, header + dataset)


@pytest.fixture
def journal():
    return []


@pytest.fixture
def inbox(tmp_path, journal):
    return Inbox(tmp_path / "inbox", lambda stored: journal.append(stored) or True, 0)


def _files(inbox) -> list[str]:
    return sorted(str(path.relative_to(inbox.root)) for path in inbox.root.rglob("*") if path.is_file())


def test_an_instance_lies_under_its_uids_exactly_as_received(inbox, journal):
    received = _received()
    inbox.accept(received)

    assert _files(inbox) == ["studies/1.2.3/1.2.3.4/1.2.3.4.5.dcm"]
    stored = journal[0]
    assert (inbox.root / stored.path).read_bytes() == received.part10
    assert stored.size_bytes == len(received.part10)
    assert stored.sop_class_uid == US_IMAGE
    assert stored.transfer_syntax_uid == EXPLICIT
    assert stored.calling_ae_title == "SCANNER"
    assert abs(datetime.now(UTC) - stored.received_at) < timedelta(minutes=1)


def test_the_file_is_readable_by_nobody_else(inbox, journal):
    inbox.accept(_received())
    path = inbox.root / journal[0].path

    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_the_same_instance_again_changes_nothing(inbox, journal):
    inbox.accept(_received())
    path = inbox.root / journal[0].path
    before = (path.stat().st_ino, path.stat().st_mtime_ns)
    inbox.accept(_received())
    inbox.accept(_received(calling="ANOTHER"))

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    assert _files(inbox) == [str(journal[0].path)]
    assert journal == [journal[0]] * 3


def test_other_content_under_the_same_uid_is_kept_aside(inbox, journal, caplog):
    inbox.accept(_received(dataset=b"first"))
    for _ in range(2):
        inbox.accept(_received(dataset=b"other"))

    kept = [name for name in _files(inbox) if name.startswith("conflicts/1.2.3/1.2.3.4/1.2.3.4.5.")]
    assert len(kept) == 1
    assert (inbox.root / kept[0]).read_bytes().endswith(b"other")
    assert (inbox.root / journal[0].path).read_bytes().endswith(b"first")
    assert journal == [journal[0]] * 3
    assert "1.2.3.4.5" in caplog.text


def test_a_file_is_taken_over_without_a_copy_left(inbox, journal):
    whole = _received()
    path = inbox.incoming / "receiving-1"
    path.write_bytes(whole.part10)
    inbox.accept(dataclasses.replace(whole, part10=path))
    inbox.accept(whole)

    assert _files(inbox) == ["studies/1.2.3/1.2.3.4/1.2.3.4.5.dcm"]
    assert (inbox.root / journal[0].path).read_bytes() == whole.part10
    assert journal[0] == journal[1]


def test_a_file_from_another_file_system_is_copied(inbox, journal, tmp_path, monkeypatch):
    whole = _received()
    path = tmp_path / "elsewhere"
    path.write_bytes(whole.part10)
    rename = Path.rename

    def across(source, target):
        if source == path:
            raise OSError(errno.EXDEV, "across file systems")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", across)
    inbox.accept(dataclasses.replace(whole, part10=path))

    assert (inbox.root / journal[0].path).read_bytes() == whole.part10


def test_below_the_reserve_nothing_is_written(tmp_path, journal):
    inbox = Inbox(tmp_path, lambda stored: journal.append(stored) or True, 1 << 60)

    assert not inbox.has_room(0)
    with pytest.raises(InboxFullError):
        inbox.accept(_received())
    assert _files(inbox) == []
    assert journal == []


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, InboxFullError), (errno.EDQUOT, InboxFullError), (errno.EIO, ReceiveError)],
)
@pytest.mark.parametrize("step", ["fdatasync", "rename"])
def test_a_failure_leaves_no_file_under_its_final_name(inbox, journal, monkeypatch, step, number, error):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(*((os, "fdatasync", fail) if step == "fdatasync" else (Path, "rename", fail)))
        with pytest.raises(ReceiveError) as caught:
            inbox.accept(_received())
    assert type(caught.value) is error
    assert _files(inbox) == []
    assert journal == []

    inbox.accept(_received())
    assert len(journal) == 1


def test_data_is_on_the_disk_before_the_name_and_the_name_before_the_record(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(os, "fdatasync", lambda _: steps.append("data"))
    monkeypatch.setattr(os, "fsync", lambda _: steps.append("folder"))
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda *paths: (steps.append("name"), rename(*paths))[1])
    inbox = Inbox(tmp_path, lambda _: steps.append("record") is None, 0)
    inbox.accept(_received())
    inbox.accept(_received(sop="1.2.3.4.6"))

    made = ["folder"] * 3  # the names of `studies`, the study and the series
    assert steps == [*made, "data", "name", "folder", "record", "data", "name", "folder", "record"]


def test_an_instance_that_could_not_be_recorded_is_recorded_when_it_comes_again(tmp_path):
    answers = iter([JobError("down"), True])
    recorded = []

    def record(stored):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        recorded.append(stored)
        return answer

    inbox = Inbox(tmp_path, record, 0)
    with pytest.raises(JobError):
        inbox.accept(_received())
    inbox.accept(_received())

    assert len(recorded) == 1


def test_a_rescan_records_what_the_journal_lacks(inbox, journal, tmp_path):
    inbox.accept(_received())
    inbox.accept(_received(sop="1.2.3.4.6"))
    (inbox.incoming / "writing-abc").write_bytes(b"half")
    recorded = list(journal)
    journal.clear()

    assert inbox.rescan(lambda studies: {str(recorded[0].path)} if studies == ["1.2.3"] else ()) == 1
    assert journal == [recorded[1]]
    assert list(inbox.incoming.iterdir()) == []
    journal.clear()
    assert inbox.rescan() == 2
    assert journal == recorded


def test_a_rescan_asks_of_a_few_studies_at_a_time(inbox, journal, monkeypatch):
    monkeypatch.setattr(inbox_module, "_STUDIES_AT_ONCE", 2)
    for number in range(1, 6):
        inbox.accept(_received(study=f"1.2.{number}"))
    asked = []

    assert inbox.rescan(lambda studies: asked.append(list(studies)) or {str(journal[0].path)}) == 4

    assert asked == [["1.2.1", "1.2.2"], ["1.2.3", "1.2.4"], ["1.2.5"]]


def test_a_rescan_goes_on_after_a_file_that_is_none_of_ours(inbox, journal):
    inbox.accept(_received())
    folder = inbox.root / "studies" / "1.2.3" / "1.2.3.4"
    (folder / "1.9.dcm").write_bytes(b"")
    (folder / "notes.dcm").write_bytes(b"hello")
    journal.clear()

    assert inbox.rescan() == 1


def test_files_of_a_study_come_in_a_repeatable_order(inbox):
    for sop in ("1.2.3.4.7", "1.2.3.4.5", "1.2.3.4.6"):
        inbox.accept(_received(sop=sop))
    inbox.accept(_received(study="1.9", series="1.9.1", sop="1.9.1.1"))

    assert [path.name for path in inbox.files_of("1.2.3")] == [
        "1.2.3.4.5.dcm",
        "1.2.3.4.6.dcm",
        "1.2.3.4.7.dcm",
    ]
    assert inbox.files_of("1.2.4") == ()
    assert inbox.files_of("../1.2.3") == ()


@pytest.mark.parametrize("field", ["study_instance_uid", "series_instance_uid", "sop_instance_uid"])
@pytest.mark.parametrize("uid", ["..", "1.2/../../..", "", "1.2\0"])
def test_no_path_is_made_of_what_is_no_uid(inbox, field, uid):
    with pytest.raises(ReceiveError, match="invalid UID"):
        inbox.accept(dataclasses.replace(_received(), **{field: uid}))
    assert _files(inbox) == []


def test_many_senders_of_the_same_instance_leave_one_file(inbox, journal):
    barrier = threading.Barrier(8)

    def send(number):
        barrier.wait()
        inbox.accept(_received(calling=f"AE{number}"))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _files(inbox) == ["studies/1.2.3/1.2.3.4/1.2.3.4.5.dcm"]
    assert len(journal) == 8
    assert len({stored.sha256 for stored in journal}) == 1


def test_folders_are_made_safe_again_once_they_were_forgotten(inbox, monkeypatch):
    monkeypatch.setattr(inbox_module, "_REMEMBERED_FOLDERS", 2)
    for number in range(5):
        inbox.accept(_received(series=f"1.2.{number}", sop=f"1.2.{number}.1"))

    assert len(inbox._safe_folders) <= 2


def test_a_disk_that_is_gone_has_no_room(inbox, caplog):
    shutil.rmtree(inbox.root)

    assert not inbox.has_room(0)
    assert "cannot be reached" in caplog.text


def test_a_node_that_starts_leaves_alone_what_another_is_receiving(tmp_path: Path) -> None:
    first = Inbox(tmp_path, lambda _: True, 0, writer="node-1")
    under_way = first.incoming / "spill"
    under_way.write_bytes(b"half an image")

    second = Inbox(tmp_path, lambda _: True, 0, writer="node-2")
    (second.incoming / "spill").write_bytes(b"left by a kill")
    second.rescan()

    assert under_way.exists()
    assert list(second.incoming.iterdir()) == []


def test_what_an_older_node_left_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "writing-x").write_bytes(b"half an image")
    Inbox(tmp_path, lambda _: True, 0, writer="..").rescan()
    assert list((tmp_path / "incoming").iterdir()) == []
    assert tmp_path.is_dir()
