"""Results on their way out: one file a kind of destination.

To add one: its settings class with a `type`, a module here, a line in `DESTINATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from cad_node.deliver.commitment import CommitmentScu
from cad_node.deliver.cstore import CStoreDestination
from cad_node.deliver.destination import Destination
from cad_node.deliver.folder import FolderDestination
from cad_node.settings import (
    CStoreDestinationSettings,
    FolderDestinationSettings,
    NodeSettings,
    ResultSettings,
)
from cad_node.variants import Variant, destination_variants

__all__ = [
    "DESTINATIONS",
    "CStoreDestination",
    "CommitmentScu",
    "Destination",
    "FolderDestination",
    "commitment_scus",
    "make_destination",
]

DESTINATIONS: dict[str, Callable[[Any, Collection[Variant] | None], Destination]] = {
    "cstore": CStoreDestination,
    "folder": FolderDestination,
}


def make_destination(
    settings: CStoreDestinationSettings | FolderDestinationSettings, results: ResultSettings | None = None
) -> Destination:
    """The destination that the settings describe; nothing is contacted yet.

    `results` is the section that its choice of objects falls back to.
    """
    wanted = destination_variants(settings, results or ResultSettings())
    return DESTINATIONS[settings.type](settings, wanted)


def commitment_scus(settings: NodeSettings) -> dict[str, CommitmentScu]:
    """By name, what asks each destination for storage commitment that is to be asked."""
    return {
        destination.name: CommitmentScu(destination, destination_variants(destination, settings.results))
        for destination in settings.destinations
        if isinstance(destination, CStoreDestinationSettings) and destination.storage_commitment
    }
