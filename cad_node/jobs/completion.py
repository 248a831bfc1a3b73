"""When a study is complete. DICOM has no word for it: a sender just stops sending."""

from __future__ import annotations

from collections.abc import Iterable

from cad_node.settings import CompletionSettings


def due_studies(
    open_studies: Iterable[tuple[str, float, float]],
    settings: CompletionSettings,
    now: float,
    listening_since: float,
) -> list[str]:
    """Studies for which nothing came for the quiet time, or that have been open for too long.

    The release of an association is no sign: one study may come in several.

    Parameters
    ----------
    open_studies
        Study Instance UID, and when its first and last instance came.
    now, listening_since
        Present time, and when this node began to listen: while it was down a
        sender could not send, so that time is no quiet time.

    Examples
    --------
    >>> due_studies([("1.2", 0.0, 5.0)], CompletionSettings(quiet_time_s=20), 24.0, 0.0)
    []
    >>> due_studies([("1.2", 0.0, 5.0)], CompletionSettings(quiet_time_s=20), 25.0, 0.0)
    ['1.2']
    """
    return [
        uid
        for uid, first, last in open_studies
        # A clock that was set back must not keep a study open: what lies ahead of now counts as now.
        if now - max(min(last, now), listening_since) >= settings.quiet_time_s
        or now - max(min(first, now), listening_since) >= settings.forced_end_s
        or last - now > settings.forced_end_s
    ]
