import inspect
import pickle

import pytest

from cad_node import errors
from cad_node.cli.exit_codes import EXIT_CODES, exit_code
from cad_node.errors import CadNodeError


def _tree(kind: type, depth: int = 0) -> list[str]:
    lines = ["  " * depth + kind.__name__]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            lines += _tree(child, depth + 1)
    return lines


def _classes() -> list[type[CadNodeError]]:
    return [
        value for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, CadNodeError)
    ]


def test_the_drawn_tree_is_the_tree() -> None:
    drawing = (errors.__doc__ or "").split("\n\n")[1].splitlines()

    assert drawing == _tree(CadNodeError)


@pytest.mark.parametrize("kind", _classes())
def test_every_error_has_an_exit_code(kind: type[CadNodeError]) -> None:
    assert exit_code(kind("problem")) in {code for _, code in EXIT_CODES}


@pytest.mark.parametrize("kind", _classes())
def test_an_error_survives_the_way_between_processes(kind: type[CadNodeError]) -> None:
    again = pickle.loads(pickle.dumps(kind("It broke.", "Mend it.", study_instance_uid="1.2.3")))

    assert type(again) is kind
    assert (again.problem, again.hint, again.study_instance_uid) == ("It broke.", "Mend it.", "1.2.3")


def test_the_message_says_what_is_wrong_and_the_next_step() -> None:
    assert str(CadNodeError("It broke.", "Mend it.")) == "It broke. Mend it."
