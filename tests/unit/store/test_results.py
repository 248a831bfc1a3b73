from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cad_node.errors import JobError
from cad_node.store.results import ResultStore, object_files

STUDY = "1.2.3"


def one_file(folder: Path) -> None:
    (folder / "result.json").write_text("{}")


def test_a_committed_folder_holds_what_was_written(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")

    folder = store.commit(STUDY, "ab", one_file)

    assert folder == store.folder(STUDY, "ab")
    assert [path.name for path in folder.iterdir()] == ["result.json"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    def fail(folder: Path) -> None:
        one_file(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.commit(STUDY, "ab", fail)

    assert not store.folder(STUDY, "ab").exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_stored_is_not_written_again(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    folder = store.commit(STUDY, "ab", one_file)

    def never(folder: Path) -> None:
        raise AssertionError

    assert store.commit(STUDY, "ab", never) == folder


def test_two_that_commit_at_once_get_the_same_folder(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)

    def overtaken(folder: Path) -> None:
        one_file(folder)
        ResultStore(tmp_path).commit(STUDY, "ab", one_file)

    assert store.commit(STUDY, "ab", overtaken) == store.folder(STUDY, "ab")
    assert len(list((tmp_path / STUDY).iterdir())) == 1


def test_every_file_is_synced_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_fsync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        calls.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)

    ResultStore(tmp_path).commit(STUDY, "ab", one_file)

    assert calls.index("result.json") < calls.index("rename") < calls.index(STUDY)


def test_revisions_are_known_in_the_order_they_were_stored(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    assert store.before(STUDY, "cc") == []
    first = store.commit(STUDY, "cc", one_file)
    assert store.before(STUDY, "bb") == [first]
    second = store.commit(STUDY, "bb", one_file)
    third = store.commit(STUDY, "aa", one_file)

    assert store.before(STUDY, "cc") == []
    assert store.before(STUDY, "bb") == [first]
    assert store.before(STUDY, "aa") == [first, second]
    assert store.before(STUDY, "dd") == [first, second, third]


def test_the_report_is_the_last_of_the_objects(tmp_path: Path) -> None:
    for name in ("sr.dcm", "seg-002.dcm", "seg-001.dcm", "index.html"):
        (tmp_path / name).touch()

    assert [path.name for path in object_files(tmp_path)] == ["seg-001.dcm", "seg-002.dcm", "sr.dcm"]


@pytest.mark.parametrize("uid", ["", "..", "../1", "1/2", "1.2\n", "1." * 40, "a"])
def test_a_name_that_is_no_uid_never_becomes_a_path(tmp_path: Path, uid: str) -> None:
    with pytest.raises(JobError):
        ResultStore(tmp_path).commit(uid, "ab", one_file)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_revision_never_becomes_a_path(tmp_path: Path) -> None:
    with pytest.raises(JobError):
        ResultStore(tmp_path).commit(STUDY, "../x", one_file)


def test_only_stale_leftovers_are_removed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.clean_up()
    stale, fresh = tmp_path / ".unfinished" / "1.2-a", tmp_path / ".unfinished" / "1.2-b"
    for folder in (stale, fresh):
        folder.mkdir(parents=True)
    two_days_ago = time.time() - 2 * 86400
    os.utime(stale, (two_days_ago, two_days_ago))

    store.clean_up()

    assert (stale.exists(), fresh.exists()) == (False, True)
