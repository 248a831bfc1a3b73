"""An operator's retry: what failed, was lost or was not taken is to be done again."""

from __future__ import annotations

from cad_node.errors import JobError
from cad_node.store.journal import Journal
from cad_node.store.schema import (
    CommitmentState,
    DeliveryRecord,
    DeliveryState,
    RevisionRecord,
    RevisionState,
)

_NOT_TAKEN = (DeliveryState.WAITING, DeliveryState.REFUSED, DeliveryState.GIVEN_UP)


def retry(
    journal: Journal, newest: RevisionRecord, *, has_results: bool, destination: str | None = None
) -> list[str]:
    """Have the newest revision of a study processed or delivered again.

    Parameters
    ----------
    has_results
        Whether its results are stored, as those of one that is done should be.
    destination
        Deliver it there alone, even what was taken.

    Returns
    -------
    list[str]
        What is done, and what is left to do, each in a sentence.

    Raises
    ------
    JobError
        It has no delivery to that destination, or cannot be sent there.
    """
    uid = newest.study_instance_uid
    mine = [item for item in journal.outgoing.of_study(uid) if item.revision == newest.revision]
    lost = newest.state is RevisionState.DONE and not has_results
    if lost or (newest.state is RevisionState.FAILED and destination is None):
        journal.revisions.retry(newest)
        return [f"Revision {newest.number} is processed again.", *_not_sent_again(uid, mine)]
    if destination is None:
        chosen = [item for item in mine if item.state in _NOT_TAKEN]
    elif not (chosen := [item for item in mine if item.destination == destination]):
        raise JobError(
            f"Revision {newest.number} ({newest.state.value}) has no delivery to '{destination}'.",
            f"There are: {', '.join(item.destination for item in mine) or 'none yet'}.",
            study_instance_uid=uid,
        )
    for item in chosen:
        journal.outgoing.retry(item)
    lines = [f"Revision {newest.number} is delivered to {item.destination} again." for item in chosen]
    if destination is None:
        sent = {item.destination for item in mine if item.state is DeliveryState.SENT}
        for record in journal.commitments.of_study(uid):
            ours = record.revision == newest.revision and record.destination in sent
            if ours and record.state is CommitmentState.NOT_COMMITTED:
                journal.commitments.start_over(record)
                lines.append(
                    f"{record.destination} is asked again to commit itself to revision {newest.number}."
                )
    return lines or [f"Nothing to retry: revision {newest.number} is {newest.state.value}."]


def _not_sent_again(uid: str, deliveries: list[DeliveryRecord]) -> list[str]:
    """Where the results stay that were made before, perhaps by another model."""
    there = [item.destination for item in deliveries if item.state is DeliveryState.SENT]
    if not there:
        return []
    return [
        f"{', '.join(there)}: keeps the results that it took before. By another model, or under other settings, "
        f"they are others now; once they are made: cad-node jobs retry {uid} --destination {there[0]}."
    ]
