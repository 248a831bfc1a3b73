"""Results on their way out: one file a kind of destination.

To add one: its settings class with a `type`, a module here, a line in `DESTINATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cad_node.deliver.cstore import CStoreDestination
from cad_node.deliver.destination import Destination
from cad_node.deliver.folder import FolderDestination
from cad_node.settings import CStoreDestinationSettings, FolderDestinationSettings

__all__ = ["DESTINATIONS", "CStoreDestination", "Destination", "FolderDestination", "make_destination"]

DESTINATIONS: dict[str, Callable[[Any], Destination]] = {
    "cstore": CStoreDestination,
    "folder": FolderDestination,
}


def make_destination(settings: CStoreDestinationSettings | FolderDestinationSettings) -> Destination:
    """The destination that the settings describe; nothing is contacted yet."""
    return DESTINATIONS[settings.type](settings)
