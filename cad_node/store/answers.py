"""The journal's answers: what radiologists said of results, and what follows for those held.

One answer is noted once, by its SOP Instance UID, in the transaction that lets
results go or keeps them back (`decision.py` says which).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cad_node.domain import Verdict
from cad_node.store.database import insert_if_absent, reading
from cad_node.store.dismissals import withdraw_held
from cad_node.store.outgoing import Outgoing
from cad_node.store.schema import AnswerRecord, AnswerWay
from cad_node.store.tables import answers, revisions


class Answers:
    """What was said of results; reached as `journal.answers`."""

    def __init__(self, engine: Engine, outgoing: Outgoing) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._outgoing = outgoing

    def record(self, records: Sequence[AnswerRecord]) -> bool:
        """Note what one answer says, and settle what is held for it.

        Parameters
        ----------
        records
            All of one answer and of one revision; at least one.

        Returns
        -------
        bool
            False for an answer that is known: nothing changes.
        """
        first = records[0]
        with self._engine.begin() as connection:
            # Two answers at once: the second must see the first when it decides.
            connection.execute(
                sa.select(revisions.c.number)
                .where(
                    revisions.c.study_instance_uid == first.study_instance_uid,
                    revisions.c.revision == first.revision,
                )
                .with_for_update()
            )
            # Of what is known nothing more is taken, whatever it would mean by the settings of today.
            mine = answers.c.sop_instance_uid == first.sop_instance_uid
            if connection.scalar(sa.select(sa.exists().where(mine))):
                return False
            if not any([insert_if_absent(connection, answers, vars(record)) for record in records]):
                return False
            if first.revision:
                withdraw_held(
                    connection, first.study_instance_uid, first.revision, "answered", first.received_at
                )
                self._outgoing.settle(connection, first.study_instance_uid, first.revision)
        return True

    def stored_paths(self) -> frozenset[str]:
        """Where every recorded answer lies, relative to its folder."""
        with self._reading.begin() as connection:
            return frozenset(connection.scalars(sa.select(answers.c.path).where(answers.c.path != "")))

    def noted(self, before: float) -> dict[PurePosixPath, frozenset[str]]:
        """Studies that each answer speaks of that came before a time, by where it lies in its folder."""
        query = (
            sa.select(answers.c.path, answers.c.study_instance_uid)
            .where(answers.c.path != "", answers.c.received_at < before)
            .distinct()
        )
        found: dict[PurePosixPath, frozenset[str]] = {}
        with self._reading.begin() as connection:
            for path, study in connection.execute(query):
                place = PurePosixPath(path)
                found[place] = found.get(place, frozenset()) | {study}
        return found

    def all(self, study_instance_uid: str | None = None) -> list[AnswerRecord]:
        """Every answer, or those to one study, in the order in which they came."""
        query = sa.select(answers).order_by(
            answers.c.received_at, answers.c.sop_instance_uid, answers.c.number
        )
        if study_instance_uid is not None:
            query = query.where(answers.c.study_instance_uid == study_instance_uid)
        with self._reading.begin() as connection:
            return [_record(row) for row in connection.execute(query)]

    def latest(self) -> list[AnswerRecord]:
        """What was said last of each result and each lesion; whatever speaks of neither is left out."""
        newest = {
            (record.study_instance_uid, record.revision, record.number): record
            for record in self.all()
            if record.revision
        }
        return list(newest.values())


def _record(row: sa.Row[tuple[object, ...]]) -> AnswerRecord:
    values = dict(row._mapping)
    return AnswerRecord(
        **{**values, "verdict": Verdict(str(values["verdict"])), "way": AnswerWay(str(values["way"]))}
    )
