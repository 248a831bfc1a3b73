from __future__ import annotations

from cad_node.store.executor_name import _number
from cad_node.store.journal import Journal


def test_names_are_told_apart_by_the_same_numbers_everywhere() -> None:
    names = ["node-1", "node-2", "cad-a.ward", "x" * 64]
    numbers = [_number(name) for name in names]
    assert len(set(numbers)) == len(names)
    assert all(-(1 << 31) <= number < 1 << 31 for number in numbers)
    assert _number("node-1") == 334634079


def test_with_sqlite_the_lock_on_the_folder_is_enough(journal: Journal) -> None:
    journal.executor_name.claim("node-1", 0)
    journal.executor_name.claim("node-1", 0)
    journal.executor_name.keep()
