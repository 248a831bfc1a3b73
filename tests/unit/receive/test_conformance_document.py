"""docs/conformance.md says what the code does."""

import re
import ssl
from pathlib import Path

from cad_node.deliver.commitment import Remedy, remedy
from cad_node.deliver.event_report import PUSH_MODEL, PUSH_MODEL_INSTANCE
from cad_node.domain import ReportAnswer
from cad_node.receive import association
from cad_node.receive.connection import _ABORT_PDU, MAXIMUM_ASSOCIATE_BYTES
from cad_node.receive.contexts import (
    ANSWER_CLASSES,
    DECODED_SYNTAXES,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    VERIFICATION,
    VIDEO_SYNTAXES,
)
from cad_node.receive.messages import MAXIMUM_REPORT_BYTES, SLOWEST_BYTES_PER_S
from cad_node.receive.part10 import IMPLEMENTATION_CLASS_UID
from cad_node.receive.status import STATUS_OF, SUCCESS
from cad_node.settings import AnswerSettings, ReceiveSettings
from cad_node.tls.files import bare_context

TEXT = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[tuple[str, ...]]:
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def test_the_sop_classes_are_those_of_the_code():
    expected = {VERIFICATION: "Verification", **STORAGE_CLASSES}

    assert _rows("SOP Classes") == [(name, uid) for uid, name in expected.items()]


def test_the_classes_and_titles_of_answers_are_those_of_the_code():
    section = TEXT.split("## Answers\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    classes = [(name.strip(), uid.strip()) for name, uid in rows if uid.strip().startswith("1.2.840")]
    titles = {meaning.split("(")[-1].strip(" `)"): re.findall(r"\d{6}", codes) for codes, meaning in rows}
    answers = AnswerSettings()

    assert classes == [(name, uid) for uid, name in ANSWER_CLASSES.items()]
    assert titles["answers.accept_titles"] == list(answers.accept_titles)
    assert titles["answers.reject_titles"] == list(answers.reject_titles)


def test_the_cipher_suites_and_the_abort_are_those_of_the_code():
    rows = [row for row in _rows("Security") if len(row) == 3 and row[1] in ("1.2", "1.3")]
    ciphers = bare_context(ssl.PROTOCOL_TLS_SERVER).get_ciphers()

    assert [(version, name) for _, version, name in rows] == [
        (cipher["protocol"].removeprefix("TLSv"), cipher["name"]) for cipher in ciphers
    ]
    assert f"A-ABORT (source {_ABORT_PDU[8]}, reason {_ABORT_PDU[9]})" in TEXT


def test_the_transfer_syntaxes_are_those_of_the_code_in_its_order():
    decoded = [(name, uid, "decoded") for uid, name in DECODED_SYNTAXES.items()]
    stored = [(name, uid, "stored") for uid, name in VIDEO_SYNTAXES.items()]

    assert _rows("Transfer syntaxes") == [*decoded, *stored]


def test_the_statuses_and_comments_are_those_of_the_code():
    documented = {int(status, 16): comment for status, _, comment in _rows("C-STORE")}

    assert documented == {SUCCESS: "", **{refusal.status: refusal.comment for refusal in STATUS_OF.values()}}


def test_the_answers_to_reports_are_those_of_the_code():
    documented = {int(status, 16): comment for status, _, comment in _rows("Reports on storage commitment")}

    assert documented == {int(answer): answer.comment for answer in ReportAnswer}
    section = TEXT.split("## Reports on storage commitment\n")[1].split("\n## ")[0]
    assert STORAGE_COMMITMENT in section
    assert PUSH_MODEL_INSTANCE in section
    assert STORAGE_COMMITMENT == PUSH_MODEL
    assert f"a report over {MAXIMUM_REPORT_BYTES // 1_000_000} MB" in TEXT


def test_the_remedies_are_those_of_the_code():
    rows = {then: reasons for reasons, then, *_ in _rows("Storage commitment")}
    follows = {
        Remedy.SEND_AGAIN: rows["sent again, under the same UID, and asked again"],
        Remedy.ASK_AGAIN: rows["asked again"],
        Remedy.NONE: rows["not committed"],
    }
    known = [code for code in range(0x10000) if "unknown reason" not in remedy(code)[1]]

    assert len(known) == 6
    for reason in (*known, None):
        what, words = remedy(reason)
        assert words in follows[what]
    assert "unknown reason" in follows[remedy(0xFFFF)[0]]


def test_the_rejections_are_those_of_the_code():
    text = "\n".join(" ".join(row) for row in _rows("Who may send"))
    numbers = {tuple(map(int, found)) for found in re.findall(r"\((\d), (\d), (\d)\)", text)}

    assert numbers == {
        association.CALLED_AE_TITLE_NOT_RECOGNISED,
        association.CALLING_AE_TITLE_NOT_RECOGNISED,
        association.LOCAL_LIMIT_EXCEEDED,
    }


def test_settings_and_limits_are_named_as_they_are():
    assert set(re.findall(r"`receive\.(\w+)`", TEXT)) <= set(ReceiveSettings.model_fields)
    assert IMPLEMENTATION_CLASS_UID in TEXT
    assert f"{MAXIMUM_ASSOCIATE_BYTES // 1024} KiB" in TEXT
    assert f"{SLOWEST_BYTES_PER_S // 1024} KiB/s" in TEXT
    assert f"(default {ReceiveSettings().maximum_pdu_bytes})" in TEXT
    assert f"(default {ReceiveSettings().maximum_associations})" in TEXT
