"""The journal's objects sent: which destination has taken which object of a study."""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cad_node.store.database import insert_if_absent, reading
from cad_node.store.tables import sent_objects


class Taken:
    """What destinations have taken, object by object; reached as `journal.taken`.

    A delivery that was cut short goes on with the objects that are missing here, so that
    none is sent twice.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._clock = clock

    def object_sent(self, destination: str, study_instance_uid: str, sop_instance_uid: str) -> None:
        """Note that a destination has taken one object."""
        with self._engine.begin() as connection:
            insert_if_absent(
                connection,
                sent_objects,
                {
                    "destination": destination,
                    "sop_instance_uid": sop_instance_uid,
                    "study_instance_uid": study_instance_uid,
                    "sent_at": self._clock(),
                },
            )

    def was_sent(self, study_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether any destination has taken that object of a study."""
        query = sa.select(
            sa.exists().where(
                sent_objects.c.study_instance_uid == study_instance_uid,
                sent_objects.c.sop_instance_uid == sop_instance_uid,
            )
        )
        with self._reading.begin() as connection:
            return bool(connection.scalar(query))

    def objects_sent(self, destination: str, study_instance_uid: str) -> frozenset[str]:
        """SOP Instance UIDs of a study that a destination has taken."""
        query = sa.select(sent_objects.c.sop_instance_uid).where(
            sent_objects.c.destination == destination,
            sent_objects.c.study_instance_uid == study_instance_uid,
        )
        with self._reading.begin() as connection:
            return frozenset(connection.scalars(query))
