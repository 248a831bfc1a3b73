"""How work that can wait stops for work that cannot: at points where stopping costs nothing.

A worker sets once how it can be asked; the pipeline passes such a point at every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, overload

from cad_node.errors import GaveWayError

_Item = TypeVar("_Item")


def _nobody_asks() -> bool:
    return False


# Of this process: a worker does one task at a time.
_asked: Callable[[], bool] = _nobody_asks


def give_way_when(asked: Callable[[], bool]) -> None:
    """Have `give_way_point` ask this from now on, in the whole process."""
    global _asked  # noqa: PLW0603  see its comment
    _asked = asked


def give_way_point() -> None:
    """Stop here if this task was asked to give way.

    Raises
    ------
    GaveWayError
        It was.
    """
    if _asked():
        raise GaveWayError("A study that came in needs the worker.", "This one is taken up again.")


class GivingWay(Sequence[_Item]):
    """The same items, with a point to give way before each."""

    def __init__(self, items: Sequence[_Item]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> _Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[_Item]: ...

    def __getitem__(self, index: int | slice) -> _Item | Sequence[_Item]:
        give_way_point()
        return self._items[index]
