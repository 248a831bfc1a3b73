from __future__ import annotations

from cad_node.domain import MadeBy
from cad_node.store.journal import Journal
from cad_node.store.schema import RevisionRecord, RevisionState
from tests.unit.jobs.stubs import Clock, stored

STUDY = "1.2.3"
OLD = MadeBy("a" * 64, "breast-us 1", "1" * 64)
NEW = MadeBy("b" * 64, "breast-us 2", "2" * 64)


def received(journal: Journal, study: str = STUDY, number: int = 1) -> RevisionRecord:
    """One more instance of a study, which is complete then."""
    journal.record_instance(stored(study, number))
    revision = journal.close_study(study)
    assert revision is not None
    return record_of(journal, study, revision)


def record_of(journal: Journal, study: str, revision: str) -> RevisionRecord:
    record = journal.revisions.get(study, revision)
    assert record is not None
    return record


def done(journal: Journal, record: RevisionRecord, made: MadeBy = OLD) -> RevisionRecord:
    journal.revisions.begin(record, "node-1")
    journal.revisions.finish(record, ["pacs"], (), made)
    return record_of(journal, record.study_instance_uid, record.revision)


def ordered(journal: Journal, study: str = STUDY, made_for: MadeBy = NEW) -> RevisionRecord:
    (latest,) = journal.reanalysis.latest(study)
    assert latest.last is not None
    assert journal.reanalysis.order(latest.last, made_for.digest)
    order = journal.reanalysis.latest(study)[0].order
    assert order is not None
    return order


def test_an_order_is_the_next_revision_over_the_same_files(journal: Journal) -> None:
    journal.record_instance(stored(number=2))
    first = done(journal, received(journal))

    order = ordered(journal)

    assert (order.number, order.state, order.made_for) == (2, RevisionState.WAITING, NEW.digest)
    assert order.revision != first.revision
    assert journal.files_of(STUDY, order.revision) == journal.files_of(STUDY, first.revision)
    assert len(journal.files_of(STUDY, order.revision)) == 2


def test_an_order_is_given_once(journal: Journal) -> None:
    first = done(journal, received(journal))
    ordered(journal)

    assert not journal.reanalysis.order(first, NEW.digest)

    assert len(journal.revisions.of_study(STUDY)) == 2


def test_an_order_for_another_model_takes_the_place_of_one_not_begun(journal: Journal) -> None:
    done(journal, received(journal))
    ordered(journal, made_for=MadeBy("c" * 64))

    order = ordered(journal, made_for=NEW)

    assert [record.made_for for record in journal.revisions.of_study(STUDY)] == ["", NEW.digest]
    assert len(journal.files_of(STUDY, order.revision)) == 1


def test_going_back_to_a_model_is_another_order_than_the_first(journal: Journal) -> None:
    done(journal, received(journal), OLD)
    there = done(journal, ordered(journal, made_for=NEW), NEW)

    back = ordered(journal, made_for=OLD)

    assert back.number == 3
    assert back.revision not in {record.revision for record in journal.revisions.of_study(STUDY)[:2]}
    assert journal.reanalysis.newest_result(STUDY) == there


def test_nothing_is_ordered_while_instances_come_in(journal: Journal) -> None:
    first = done(journal, received(journal))
    journal.record_instance(stored(number=2))

    assert not journal.reanalysis.order(first, NEW.digest)


def test_an_order_that_nobody_has_begun_goes_when_instances_come(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)

    late = received(journal, number=2)

    assert journal.revisions.get(STUDY, order.revision) is None
    assert journal.files_of(STUDY, order.revision) == ()
    assert journal.revisions.startable() == [late]


def test_orders_are_not_among_what_came_in(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)

    assert journal.revisions.startable() == []
    assert journal.reanalysis.startable(NEW.digest) == order


def test_only_a_node_with_that_model_takes_an_order(journal: Journal) -> None:
    done(journal, received(journal))
    ordered(journal)

    assert journal.reanalysis.startable(OLD.digest) is None
    assert journal.reanalysis.waiting() == {NEW.digest: 1}


def test_no_order_is_begun_while_a_study_that_came_in_waits(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)
    fresh = received(journal, "1.2.4")

    assert journal.reanalysis.startable(NEW.digest) is None
    journal.revisions.mark_queued(fresh)
    assert journal.reanalysis.startable(NEW.digest) is None
    journal.revisions.begin(fresh, "node-1")
    assert journal.reanalysis.startable(NEW.digest) == order
    assert (journal.reanalysis.busy("node-1"), journal.reanalysis.busy("node-2")) == (1, 0)


def test_what_is_put_back_waits_as_if_it_had_not_been_begun(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)
    journal.revisions.begin(order, "node-1")

    journal.reanalysis.put_back(order)

    again = record_of(journal, STUDY, order.revision)
    assert (again.state, again.run, again.starts) == (RevisionState.WAITING, 2, 0)
    assert journal.revisions.begin(order, "node-1") == 0
    assert journal.reanalysis.startable(NEW.digest) == again


def test_what_is_put_back_goes_where_instances_came_meanwhile(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)
    journal.revisions.begin(order, "node-1")
    late = received(journal, number=2)
    assert journal.revisions.startable() == []

    journal.reanalysis.put_back(order)

    assert journal.revisions.get(STUDY, order.revision) is None
    assert journal.revisions.startable() == [late]


def test_a_start_that_came_to_nothing_counts_where_it_is_said(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)
    journal.revisions.begin(order, "node-1")

    journal.reanalysis.put_back(order, begun=True)

    again = record_of(journal, STUDY, order.revision)
    assert (again.state, again.starts) == (RevisionState.WAITING, 1)


def test_what_came_in_is_never_put_back_or_withdrawn(journal: Journal) -> None:
    record = received(journal)

    journal.reanalysis.put_back(record)
    journal.reanalysis.withdraw(STUDY, NEW.digest)

    assert journal.revisions.startable() == [record]


def test_orders_are_withdrawn_but_for_the_model_of_today(journal: Journal) -> None:
    done(journal, received(journal))
    order = ordered(journal)

    journal.reanalysis.withdraw(STUDY, NEW.digest)
    assert journal.reanalysis.startable(NEW.digest) == order

    journal.reanalysis.withdraw(STUDY, OLD.digest)
    assert journal.reanalysis.waiting() == {}


def test_the_newest_results_are_counted_by_what_they_were_made(journal: Journal) -> None:
    for study in ("1.1", "1.2", "1.3"):
        done(journal, received(journal, study))
    done(journal, ordered(journal, "1.2"), NEW)
    ordered(journal, "1.3")

    assert journal.reanalysis.counts() == {OLD: 2, NEW: 1}


def test_what_a_node_announced_last_counts(journal: Journal, clock: Clock) -> None:
    assert journal.reanalysis.announced("node-1") is None
    journal.reanalysis.announce("node-1", OLD)
    journal.reanalysis.announce("node-1", NEW)
    clock.forward(10)
    journal.reanalysis.announce("node-2", OLD)

    assert journal.reanalysis.announced("node-1") == NEW
    assert journal.reanalysis.announced("node-2") == OLD
    assert journal.reanalysis.announced("node-3") == OLD


def test_results_of_an_older_node_are_labelled_once(journal: Journal) -> None:
    record = done(journal, received(journal), MadeBy())
    assert journal.reanalysis.unlabelled() == [record]

    journal.reanalysis.label(record, OLD)

    assert journal.reanalysis.unlabelled() == []
    assert journal.reanalysis.counts() == {OLD: 1}


def test_what_was_analysed_again_is_sent_after_what_came_in(journal: Journal, clock: Clock) -> None:
    done(journal, received(journal))
    first = journal.outgoing.claim("pacs", "node-1")
    assert first is not None
    journal.outgoing.sent(first)
    done(journal, ordered(journal), NEW)
    clock.forward(10)
    done(journal, received(journal, "1.2.4"))

    claimed = [journal.outgoing.claim("pacs", "node-1") for _ in range(2)]

    assert [record and record.study_instance_uid for record in claimed] == ["1.2.4", STUDY]


def test_what_was_analysed_again_is_hurried_by_what_came_in_behind_it(journal: Journal, clock: Clock) -> None:
    done(journal, received(journal))
    first = journal.outgoing.claim("pacs", "node-1")
    assert first is not None
    journal.outgoing.sent(first)
    again = done(journal, ordered(journal), NEW)
    done(journal, received(journal, number=2), NEW)
    clock.forward(10)
    done(journal, received(journal, "1.2.4"))

    claimed = journal.outgoing.claim("pacs", "node-1")

    assert claimed is not None
    assert claimed.revision == again.revision
