"""Errors in words that may be kept and shown: never a foreign message, it may quote a data set."""

from __future__ import annotations

import traceback
from pathlib import Path

from cad_node.errors import CadNodeError


def describe(error: BaseException) -> str:
    """What went wrong: our own message, or the class of a foreign error and where it was raised.

    Examples
    --------
    >>> describe(CadNodeError("The lid is shut.", "Open it."))
    'The lid is shut. Open it.'
    """
    if isinstance(error, CadNodeError):
        return str(error)
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    where = f" at {' < '.join(reversed(places[-4:]))}" if places else ""
    return f"Unexpected {type(error).__name__}{where}."
