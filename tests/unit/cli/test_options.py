from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.cli import options
from cad_node.cli.options import model_folder
from cad_node.cli.train import train
from cad_node.errors import SettingsError


def test_a_model_is_written_below_output_which_is_made(tmp_path: Path) -> None:
    assert model_folder("mine", tmp_path / "models") == tmp_path / "models" / "mine"
    assert (tmp_path / "models").is_dir()


@pytest.mark.parametrize("name", ["bad name", "a/b", "..", "", "m" * 65])
def test_a_name_that_no_node_could_find_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is no name for a model: it may hold 1 to 64 letters"):
        model_folder(name, tmp_path)


def test_a_model_that_cannot_be_written_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    # The data is not there, either: it is not looked at before.
    with pytest.raises(
        SettingsError, match=r"could not be written when it is made.*Name another folder for --output"
    ):
        train(data=tmp_path / "none", export="mine", output=tmp_path / "file" / "below")


def test_models_of_ones_own_do_not_go_into_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "is_installed", lambda: True)
    assert model_folder("mine", tmp_path) == tmp_path / "mine"
    with pytest.raises(SettingsError, match="an update replaces"):
        model_folder("mine", None)
