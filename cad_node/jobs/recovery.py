"""Work that a node of another name had begun, handed to those that run."""

from __future__ import annotations

import logging
from typing import NamedTuple

from cad_node.jobs.workflows import pending_elsewhere, recover
from cad_node.settings import NodeSettings
from cad_node.store.journal import Journal

logger = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """How much is queued again."""

    studies: int
    deliveries: int


def recover_work(settings: NodeSettings, journal: Journal, executor: str) -> Recovered:
    """Queue again what a node that is gone for good had begun.

    Raises
    ------
    JobError
        The job database cannot be used.
    """
    studies = recover(settings, executor)
    deliveries = journal.outgoing.release(executor)
    journal.commitments.release(executor)
    return Recovered(studies, deliveries)


def gone(settings: NodeSettings, journal: Journal) -> set[str]:
    """Names of machines on the same PostgreSQL that have begun something, and do not run."""
    if not settings.jobs.database_url:
        return set()
    others = journal.revisions.executors() | journal.outgoing.executors()
    return {name for name in others - {settings.jobs.executor_id} if not journal.executor_name.is_held(name)}


def take_over(settings: NodeSettings, journal: Journal) -> None:
    """Take up what this node had begun under other names; for a node that is alone on its journal."""
    mine = settings.jobs.executor_id
    for executor in sorted((journal.outgoing.executors() | pending_elsewhere(settings)) - {mine}):
        done = recover_work(settings, journal, executor)
        logger.warning(
            "this node ran as %s before: its %d studies and %d deliveries are queued again",
            executor,
            done.studies,
            done.deliveries,
        )
