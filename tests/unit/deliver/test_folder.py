from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cad_node.deliver import DESTINATIONS, FolderDestination, make_destination
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings, FolderDestinationSettings, ResultSettings
from cad_node.variants import Variant, names_of
from tests.unit.jobs.stubs import write_results

STUDY = "1.2.3"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    write_results(folder, STUDY, "aaaaaaaa")
    return folder


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def destination(outbox: Path) -> FolderDestination:
    return FolderDestination(FolderDestinationSettings(name="outbox", path=outbox))


def test_a_study_has_its_sub_folder_with_all_results(
    destination: FolderDestination, results: Path, outbox: Path
) -> None:
    (results / "sent-pacs.json").write_text("[]")
    sent: list[str] = []

    destination.send(results, (), sent.append)

    assert sorted(path.name for path in (outbox / STUDY).iterdir()) == [
        "index.html",
        "preview-001.png",
        "result.json",
        "seg-001.dcm",
        "sr.dcm",
    ]
    assert len(sent) == 2
    assert [path.name for path in outbox.iterdir()] == [STUDY]


def test_page_and_summary_speak_of_what_was_sent_alone(results: Path, outbox: Path) -> None:
    seg, report = Variant.of("seg", ResultSettings()), Variant.of("sr", ResultSettings())
    content = {
        "study_instance_uid": STUDY,
        "variants": [seg.name, report.name],
        "objects": [
            {"file": "seg-001.dcm", "kind": "seg", "variant": seg.name, "sop_instance_uid": "1.2.9"},
            {"file": "sr.dcm", "kind": "sr", "variant": report.name, "sop_instance_uid": "1.2.8"},
        ],
        "images": {"1.2.9": ["1.2.7"], "1.2.8": []},
        "rows": [{"sop_instance_uid": "1.2.7", "class": "benign", "seg": "seg-001.dcm", "sr": "sr.dcm"}],
        "pages": {names_of([seg, report]): "index.html", names_of([report]): "index-2.html"},
    }
    (results / "result.json").write_text(json.dumps(content))
    (results / "index-2.html").write_text("the report alone")

    for wanted in ({report}, {seg}, {seg, report}):
        settings = FolderDestinationSettings(
            name="outbox", path=outbox / str(len(wanted)) / str(seg in wanted)
        )
        FolderDestination(settings, wanted).send(results, (), lambda _uid: None)

    alone = outbox / "1" / "False" / STUDY
    assert sorted(path.name for path in alone.iterdir()) == [
        "index.html",
        "preview-001.png",
        "result.json",
        "sr.dcm",
    ]
    assert (alone / "index.html").read_text() == "the report alone"
    said = json.loads((alone / "result.json").read_text())
    assert [one["file"] for one in said["objects"]] == ["sr.dcm"]
    assert said["variants"] == [report.name]
    assert said["images"] == {"1.2.8": []}
    assert said["rows"] == [{"sop_instance_uid": "1.2.7", "class": "benign", "seg": "", "sr": "sr.dcm"}]
    # The settings changed since: no page was made for this, and none that says more is given.
    assert not (outbox / "1" / "True" / STUDY / "index.html").exists()
    whole = outbox / "2" / "True" / STUDY
    assert (whole / "index.html").read_text() == "<p>result</p>"
    assert json.loads((whole / "result.json").read_text())["rows"] == content["rows"]


def test_newer_results_take_the_place_of_older_ones(
    destination: FolderDestination, results: Path, outbox: Path
) -> None:
    destination.send(results, (), lambda _uid: None)
    (results / "preview-001.png").unlink()
    (results / "index.html").write_text("new")

    destination.send(results, (), lambda _uid: None)

    assert (outbox / STUDY / "index.html").read_text() == "new"
    assert not (outbox / STUDY / "preview-001.png").exists()


def test_what_a_crash_left_is_removed_by_the_next_attempt(
    destination: FolderDestination, results: Path, outbox: Path
) -> None:
    for name in (f".{STUDY}.new", f".{STUDY}.old"):
        (outbox / name).mkdir(parents=True)
        (outbox / name / "half").write_text("x")

    destination.send(results, (), lambda _uid: None)

    assert [path.name for path in outbox.iterdir()] == [STUDY]


def test_a_failed_copy_leaves_the_older_results(
    destination: FolderDestination, results: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination.send(results, (), lambda _uid: None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DestinationUnreachableError, match="No space left on device"):
        destination.send(results, (), pytest.fail)

    assert (outbox / STUDY / "sr.dcm").exists()


def test_a_kill_in_the_middle_of_a_swap_costs_no_older_results(
    destination: FolderDestination, results: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination.send(results, (), lambda _: None)
    (outbox / STUDY).rename(outbox / f".{STUDY}.old")  # the kill came before the new ones got the name

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DestinationUnreachableError):
        destination.send(results, (), lambda _: None)

    assert (outbox / STUDY / "sr.dcm").exists()


def test_a_path_that_is_no_folder_is_tried_again(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    destination = FolderDestination(FolderDestinationSettings(name="o", path=tmp_path / "file" / "outbox"))

    with pytest.raises(DestinationUnreachableError, match="cannot be written"):
        destination.verify()
    with pytest.raises(DestinationUnreachableError, match="cannot be written"):
        destination.send(results, (), pytest.fail)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"study_instance_uid": "../../etc"}'])
def test_a_folder_that_names_no_study_never_becomes_a_path(
    destination: FolderDestination, results: Path, outbox: Path, content: str
) -> None:
    (results / "result.json").write_text(content)

    with pytest.raises(DestinationRefusedError):
        destination.send(results, (), pytest.fail)

    assert not outbox.exists()


def test_verify_leaves_nothing_behind(destination: FolderDestination, outbox: Path) -> None:
    destination.verify()
    assert not outbox.exists()

    outbox.mkdir()
    destination.verify()
    assert list(outbox.iterdir()) == []


def test_every_kind_of_settings_makes_a_destination(tmp_path: Path) -> None:
    settings = (
        FolderDestinationSettings(name="a", path=tmp_path),
        CStoreDestinationSettings(name="b", host="localhost", port=104, ae_title="PACS"),
    )

    assert {item.type for item in settings} == set(DESTINATIONS)
    assert [type(make_destination(item)) for item in settings] == [
        DESTINATIONS["folder"],
        DESTINATIONS["cstore"],
    ]
