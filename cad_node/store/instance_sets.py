"""Sets of instances by their name: what a revision is over, even where its files were removed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cad_node.store.tables import instances, revisions


def revision_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Name a set of instances: equal sets have equal names, in whatever order they came.

    Parameters
    ----------
    pairs
        SOP Instance UID and sha256 of each.

    Examples
    --------
    >>> revision_of([("1.2", "aa"), ("1.3", "bb")]) == revision_of([("1.3", "bb"), ("1.2", "aa")])
    True
    """
    text = "\n".join(f"{uid} {digest}" for uid, digest in sorted(pairs))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def unlisted_files(connection: Connection, study_instance_uid: str, revision: str) -> list[tuple[str, str]]:
    """SOP Instance UIDs and paths of a revision that lists none any more, as `retention.py` leaves it.

    The name of a revision says whether its instances are those that the study has now; an
    order to analyse again goes by the one over whose instances it was made. Empty where
    others came since.
    """
    mine = revisions.c.study_instance_uid == study_instance_uid
    number = sa.select(revisions.c.number).where(mine, revisions.c.revision == revision).scalar_subquery()
    base = connection.scalar(
        sa.select(revisions.c.revision)
        .where(mine, revisions.c.made_for == "", revisions.c.number <= number)
        .order_by(revisions.c.number.desc())
        .limit(1)
    )
    rows = connection.execute(
        sa.select(instances.c.sop_instance_uid, instances.c.sha256, instances.c.path)
        .where(instances.c.study_instance_uid == study_instance_uid)
        .order_by(instances.c.sop_instance_uid)
    ).all()
    if base != revision_of((row.sop_instance_uid, row.sha256) for row in rows):
        return []
    return [(row.sop_instance_uid, row.path) for row in rows]
