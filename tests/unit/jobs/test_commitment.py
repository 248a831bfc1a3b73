from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cad_node.deliver.objects import ResultObject, result_objects
from cad_node.domain import EventReport, ReportAnswer
from cad_node.errors import DestinationRefusedError, DestinationUnreachableError
from cad_node.jobs.commitment import CommitmentRequester, ReportDesk
from cad_node.jobs.courier import Courier
from cad_node.settings import CStoreDestinationSettings, JobsSettings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from cad_node.store.schema import CommitmentRecord, CommitmentState, DeliveryState
from tests.unit.deliver.test_event_report import encoded, information, reported
from tests.unit.jobs.stubs import Clock, FakeDestination, stored, write_results

SETTINGS = JobsSettings(retry_first_s=10, retry_longest_s=100, retry_give_up_s=1000)
STUDY = "1.1"
DEADLINE_S = 600.0


class FakeScu:
    """Takes every request, or fails with the next of `errors`; reports with the next of `reports`."""

    def __init__(self, journal: Journal) -> None:
        self.settings = CStoreDestinationSettings(
            name="pacs", host="pacs", port=104, ae_title="PACS", storage_commitment=True,
            commitment_ae_titles=("PACS", "ARCHIVE"), commitment_timeout_s=DEADLINE_S, commitment_tries=3,
        )  # fmt: skip
        self.journal = journal
        self.errors: list[Exception] = []
        self.reports: list[dict[str, int]] = []
        self.asked: list[tuple[str, list[str]]] = []
        self.answers: list[ReportAnswer] = []

    def objects(self, results: Path) -> list[ResultObject]:
        return result_objects(results)

    def request(
        self,
        transaction_uid: str,
        objects: Sequence[ResultObject],
        on_report: Callable[[EventReport], ReportAnswer],
        is_reported: Callable[[], bool],
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.asked.append((transaction_uid, [one.sop_instance_uid for one in objects]))
        if self.reports:
            self.answers.append(on_report(self.report(self.reports.pop(0))))
            assert is_reported()

    def report(self, failed: dict[str, int], number: int = -1, calling: str = "PACS") -> EventReport:
        """The report on one of the requests, the latest unless told."""
        transaction, uids = self.asked[number]
        kept = tuple(uid for uid in uids if uid not in failed)
        content = encoded(information(kept, dict(failed) or None, transaction))
        report = reported(content, 2 if failed else 1)
        return EventReport(
            calling, report.sop_instance_uid, report.event_type, report.transfer_syntax_uid, content
        )


@pytest.fixture
def scu(journal: Journal) -> FakeScu:
    return FakeScu(journal)


@pytest.fixture
def requester(scu: FakeScu, journal: Journal, results: ResultStore, clock: Clock) -> CommitmentRequester:
    return CommitmentRequester(scu, journal, results, SETTINGS, "node-1", clock)  # type: ignore[arg-type]


@pytest.fixture
def pacs() -> FakeDestination:
    return FakeDestination()


@pytest.fixture
def courier(pacs: FakeDestination, journal: Journal, results: ResultStore, clock: Clock) -> Courier:
    return Courier("pacs", pacs, journal, results, SETTINGS, "node-1", clock, commitment=True)


@pytest.fixture
def sent(journal: Journal, results: ResultStore, courier: Courier) -> list[str]:
    """Results that were taken; their SOP Instance UIDs."""
    return send(journal, results, courier)


def send(journal: Journal, results: ResultStore, courier: Courier, number: int = 1) -> list[str]:
    journal.record_instance(stored(STUDY, number))
    revision = journal.close_study(STUDY)
    assert revision is not None
    folder = results.commit(STUDY, revision, lambda path: write_results(path, STUDY, revision))
    record = journal.revisions.get(STUDY, revision)
    assert record is not None
    journal.revisions.finish(record, ["pacs"])
    assert courier.deliver_next()
    return [one.sop_instance_uid for one in result_objects(folder)]


def now(journal: Journal) -> CommitmentRecord:
    return journal.commitments.all()[0]


def test_what_was_sent_is_asked_for_and_committed(
    journal: Journal, requester: CommitmentRequester, scu: FakeScu, sent: list[str]
) -> None:
    scu.reports = [{}]

    assert requester.do_next()
    assert not requester.do_next()

    assert [uids for _, uids in scu.asked] == [sent]
    assert scu.answers == [ReportAnswer.RECORDED]
    assert now(journal).state is CommitmentState.COMMITTED


def test_what_is_missing_is_sent_again_under_the_same_uid_and_nothing_else(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    courier: Courier,
    pacs: FakeDestination,
    clock: Clock,
) -> None:
    scu.reports = [{sent[0]: 0x0112}, {}]
    requester.do_next()
    requester.do_next()
    assert not courier.deliver_next()  # the PACS is given time
    clock.forward(10)

    assert courier.deliver_next()
    requester.do_next()

    assert pacs.received == [*sent, sent[0]]
    assert [uids for _, uids in scu.asked] == [sent, [sent[0]]]
    assert now(journal).state is CommitmentState.COMMITTED


def test_what_stays_missing_is_sent_again_so_often_and_then_shown(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    courier: Courier,
    pacs: FakeDestination,
    clock: Clock,
) -> None:
    scu.reports = [{sent[0]: 0x0112}] * 5
    for _ in range(100):
        while requester.do_next() or courier.deliver_next():
            pass
        clock.forward(10)

    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert "1 x 0x0112 no such object instance" in now(journal).problem
    assert len(scu.asked) == 3
    assert pacs.received == [*sent, sent[0], sent[0]]
    assert [item.state for item in journal.outgoing.all()] == [DeliveryState.SENT]


def test_a_reason_that_sending_again_does_not_mend_is_shown_at_once(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    courier: Courier,
    pacs: FakeDestination,
    clock: Clock,
) -> None:
    scu.reports = [{sent[0]: 0x0122, sent[1]: 0x0112}]
    requester.do_next()
    requester.do_next()
    clock.forward(1e5)

    assert not requester.do_next()
    assert not courier.deliver_next()
    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert "1 x 0x0112 no such object instance, 1 x 0x0122 SOP Class not supported" in now(journal).problem
    assert pacs.received == sent


def test_a_fault_for_now_is_asked_about_again_later_and_nothing_is_sent(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    pacs: FakeDestination,
    clock: Clock,
) -> None:
    scu.reports = [{sent[0]: 0x0213}, {}]
    requester.do_next()
    requester.do_next()
    assert not requester.do_next()
    clock.forward(10)

    assert requester.do_next()

    assert [uids for _, uids in scu.asked] == [sent, [sent[0]]]
    assert now(journal).state is CommitmentState.COMMITTED
    assert pacs.received == sent


def test_without_a_report_it_is_asked_again_by_a_new_request_and_then_shown(
    journal: Journal, requester: CommitmentRequester, scu: FakeScu, sent: list[str], clock: Clock
) -> None:
    for _ in range(10):
        while requester.do_next():
            pass
        clock.forward(DEADLINE_S)

    assert len({transaction for transaction, _ in scu.asked}) == len(scu.asked) == 3
    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert "did not report on a commitment in time" in now(journal).problem


def test_the_first_of_two_requests_may_be_the_one_that_is_reported_on(
    journal: Journal, requester: CommitmentRequester, scu: FakeScu, sent: list[str], clock: Clock
) -> None:
    desk = ReportDesk(journal, {"pacs": scu.settings})
    requester.do_next()
    clock.forward(DEADLINE_S)
    requester.do_next()
    requester.do_next()
    assert len(scu.asked) == 2

    assert desk.record(scu.report({}, number=0)) is ReportAnswer.RECORDED

    assert now(journal).state is CommitmentState.COMMITTED


def test_a_destination_that_is_down_is_asked_at_growing_intervals_and_given_up_in_the_end(
    journal: Journal, requester: CommitmentRequester, scu: FakeScu, sent: list[str], clock: Clock
) -> None:
    scu.errors = [DestinationUnreachableError("Nobody answers.", "Wait.") for _ in range(100)]
    for _ in range(1200):
        requester.do_next()
        clock.forward(1)

    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert "Nobody answers" in now(journal).problem
    assert 10 <= 100 - len(scu.errors) <= 25  # after 0, 10, 30, 70, then each 80 to 100 s


def test_a_destination_without_the_service_is_shown_at_once(
    journal: Journal, requester: CommitmentRequester, scu: FakeScu, sent: list[str], clock: Clock
) -> None:
    scu.errors = [DestinationRefusedError("Offers no Storage Commitment.", "Switch it on.")]

    requester.do_next()
    clock.forward(1e6)

    assert not requester.do_next()
    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert now(journal).problem == "Offers no Storage Commitment. Switch it on."


def test_a_fault_of_ours_is_tried_again_and_its_message_kept_out(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    scu.errors = [ValueError("DOE^JANE")]

    requester.do_next()

    assert now(journal).state is CommitmentState.TO_ASK
    assert "ValueError at test_commitment.py:" in now(journal).problem
    assert "JANE" not in now(journal).problem + caplog.text


def test_results_that_are_gone_are_not_asked_about_for_ever(
    journal: Journal, requester: CommitmentRequester, results: ResultStore, sent: list[str]
) -> None:
    results.folder(STUDY, now(journal).revision).rename(results.root / "away")

    requester.do_next()

    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert "no longer stored" in now(journal).problem


def test_an_older_revision_that_is_missing_is_not_sent_after_the_newer(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    results: ResultStore,
    courier: Courier,
    pacs: FakeDestination,
) -> None:
    old = send(journal, results, courier, 1)
    requester.do_next()
    new = send(journal, results, courier, 2)
    desk = ReportDesk(journal, {"pacs": scu.settings})
    desk.record(scu.report({old[1]: 0x0112}))

    requester.do_next()

    assert now(journal).state is CommitmentState.NOT_COMMITTED
    assert "A later revision has taken its place" in now(journal).problem
    assert pacs.received == [*old, *(uid for uid in new if uid not in old)]


def test_the_desk_knows_who_may_report_and_by_which_name_it_calls_the_node(
    journal: Journal, scu: FakeScu
) -> None:
    folderless = ReportDesk(journal, {"pacs": scu.settings})

    assert folderless.called == {"PACS": {"CADNODE"}, "ARCHIVE": {"CADNODE"}}
    assert ReportDesk(journal, {}).called == {}


@pytest.mark.parametrize(
    ("calling", "answer", "state"),
    [
        ("PACS", ReportAnswer.RECORDED, CommitmentState.COMMITTED),
        ("ARCHIVE", ReportAnswer.RECORDED, CommitmentState.COMMITTED),
        ("SCANNER", ReportAnswer.UNKNOWN_TRANSACTION, CommitmentState.ASKED),
    ],
)
def test_a_report_counts_from_the_destination_alone(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    calling: str,
    answer: ReportAnswer,
    state: CommitmentState,
) -> None:
    requester.do_next()

    desk = ReportDesk(journal, {"pacs": scu.settings})

    assert desk.record(scu.report({}, calling=calling)) is answer
    assert now(journal).state is state


def test_a_report_that_cannot_be_noted_is_answered_as_a_fault(
    journal: Journal,
    requester: CommitmentRequester,
    scu: FakeScu,
    sent: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requester.do_next()

    def away(*_: object) -> bool:
        raise OSError("disk full")

    monkeypatch.setattr(journal.commitments, "report", away)

    assert ReportDesk(journal, {"pacs": scu.settings}).record(scu.report({})) is ReportAnswer.FAULT
