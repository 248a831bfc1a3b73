"""What every destination of results can do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol


class Destination(Protocol):
    """Somewhere that results are sent; used from one thread at a time."""

    def send(self, results: Path, already_sent: Collection[str], on_sent: Callable[[str], None]) -> None:
        """Send the objects of one result folder.

        Sending again what was sent before must be harmless: the node may have
        died between the destination's answer and its own note of it.

        Parameters
        ----------
        results
            A result folder: `*.dcm`, pictures, `index.html`, `result.json`.
        already_sent
            SOP Instance UIDs that this destination is known to hold.
        on_sent
            Called with the SOP Instance UID of each object as soon as the
            destination has taken it.

        Raises
        ------
        DestinationUnreachableError
            It failed for now. What was taken so far stays taken.
        DestinationRefusedError
            At least one object was refused for ever; all others were sent.
        """
        ...

    def verify(self) -> None:
        """See whether the destination would take results now, without sending any.

        Raises
        ------
        DestinationUnreachableError, DestinationRefusedError
            As in `send`.
        """
        ...
