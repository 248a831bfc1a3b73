"""What must survive a power cut is on the disk before anyone is told of it."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path, *, data_alone: bool = False) -> None:
    """Have a file's content, or a folder's names, on the disk before returning.

    With `data_alone` a power cut may cost the file's times.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        (os.fdatasync if data_alone else os.fsync)(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Have every file below `folder`, and the folders, on the disk before returning."""
    for path in (*folder.rglob("*"), folder):
        sync(path)
