from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cad_node.cli.answers import answers_app
from cad_node.cli.jobs import jobs_app
from cad_node.errors import JobError
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from tests.unit.jobs.stubs import stored

STUDY = "1.2.3"
LESIONS = [
    {
        "name": "image 1, lesion 2",
        "image": "1.2.3.1.1",
        "tracking_uid": "1.5.2",
        "class": "malignant",
        "p_malignant": "0.9000",
    },
    {
        "name": "image 1, lesion 1",
        "image": "1.2.3.1.1",
        "tracking_uid": "1.5.1",
        "class": "benign",
        "p_malignant": "0.1000",
    },
]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """A node with one result, held for the PACS."""
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))
    journal = Journal.open(NodeSettings(data_dir=tmp_path))
    journal.record_instance(stored(STUDY))
    revision = journal.close_study(STUDY)
    assert revision is not None
    record = journal.revisions.get(STUDY, revision)
    assert record is not None
    content = {
        "lesions": LESIONS,
        "images": {"1.2.3.9.1": []},
        "provenance": {"model_name": "breast-us", "model_version": "1.0.0"},
    }
    ResultStore(tmp_path / "results").commit(
        STUDY, revision, lambda folder: (folder / "result.json").write_text(json.dumps(content)) and None
    )
    journal.revisions.finish(record, ["pacs"], {"pacs"})
    yield journal
    journal.close()


def answers(*arguments: str) -> Result:
    return CliRunner().invoke(answers_app, list(arguments))


def rows(output: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in output.splitlines()
        if line.startswith("│")
    ]


def test_jobs_list_shows_what_is_held(journal: Journal) -> None:
    assert "pacs held" in CliRunner().invoke(jobs_app, ["list"]).output
    assert STUDY in CliRunner().invoke(jobs_app, ["list", "--state", "held"]).output


def test_accepting_lets_the_results_go(journal: Journal) -> None:
    result = answers("record", STUDY, "--verdict", "accept")

    assert result.exit_code == 0, result.output
    assert "Noted: accept, the whole result, 2 lesions." in result.output
    assert "pacs: waiting" in result.output
    assert journal.outgoing.claim("pacs", "node-1") is not None


def test_rejecting_keeps_them_for_good(journal: Journal) -> None:
    assert "pacs: rejected" in answers("record", STUDY, "--verdict", "reject").output
    assert journal.outgoing.claim("pacs", "node-1") is None


def test_answers_are_listed_with_what_the_node_had_named(journal: Journal) -> None:
    noted = answers("record", STUDY, "--lesion", "2", "--verdict", "correct", "--class", "malignant").output

    assert "Noted: correct, lesion 2 (image 1, lesion 1: benign)." in noted
    assert rows(answers("list").output)[0][:6] == [
        STUDY,
        "2",
        "correct",
        "benign",
        "malignant",
        "breast-us 1.0.0",
    ]
    assert rows(answers("list", "--study", "1.2.4").output) == []


def test_agreement_is_counted_by_model_and_class(journal: Journal) -> None:
    answers("record", STUDY, "--verdict", "accept")
    answers("record", STUDY, "--lesion", "2", "--verdict", "correct", "--class", "malignant")

    output = answers("summary").output

    model = "breast-us 1.0.0"
    assert rows(output) == [
        [model, "1", "1", "0", "0", "0"],
        [model, "benign", "1", "0", "0", "1", "malignant 1", "0 %"],
        [model, "malignant", "1", "1", "0", "0", "", "100 %"],
    ]
    assert STUDY not in output
    assert "name no result of this node: 0" in output


@pytest.mark.parametrize("verdict", ["unclear", "maybe"])
def test_only_a_verdict_can_be_given(verdict: str, journal: Journal) -> None:
    result = answers("record", STUDY, "--verdict", verdict)

    assert result.exit_code == 2
    assert journal.answers.all() == []


def test_a_study_that_is_not_known_is_refused(journal: Journal) -> None:
    assert isinstance(answers("record", "1.2.4", "--verdict", "accept").exception, JobError)
