"""The one place that says whether a result is accepted, from what was said of it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cad_node.domain import Verdict
from cad_node.store.schema import AnswerWay
from cad_node.store.tables import answers


def decision(connection: Connection, study_instance_uid: str, revision: str) -> Verdict | None:
    """Whether a revision is accepted or rejected; None while neither.

    What was said of the whole result decides. A rejection stays, unless the
    command line takes it back. Where only lesions were spoken of, the result is
    accepted once every one of them is.
    """
    rows = connection.execute(
        sa.select(answers.c.number, answers.c.verdict, answers.c.way, answers.c.lesions)
        .where(answers.c.study_instance_uid == study_instance_uid, answers.c.revision == revision)
        .order_by(answers.c.received_at, answers.c.sop_instance_uid)
    ).all()
    whole: Verdict | None = None
    lesions: dict[int, str] = {}
    for row in rows:
        if row.number:
            lesions[row.number] = row.verdict
        elif row.verdict == Verdict.REJECT:
            whole = Verdict.REJECT
        elif row.verdict == Verdict.ACCEPT and (whole is None or row.way == AnswerWay.COMMAND):
            whole = Verdict.ACCEPT
    if whole is not None:
        return whole
    complete = bool(lesions) and len(lesions) == max(row.lesions for row in rows)
    return Verdict.ACCEPT if complete and set(lesions.values()) == {Verdict.ACCEPT} else None
