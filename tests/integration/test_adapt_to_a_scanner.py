"""`cad-node adapt` over DICOM files: read, gated and cleaned as by the running node."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cad_node.cli import app
from cad_node.errors import SettingsError
from cad_node.networks import load_bundle, load_model
from cad_node.resources import models_dir
from cad_node.train import adapt
from tests import factories


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Three pictures of tissue, one a loop; colour Doppler; a file that is none."""
    folder = tmp_path / "archive"
    for number in range(2):
        factories.write(
            factories.us_image(seed=number, patient_name="Secret^Name"), folder / f"study{number}"
        )
    factories.write(factories.us_cine(frames=3), folder / "loop")
    factories.write(factories.us_image(photometric="RGB", flow_box=(60, 160, 80, 240)), folder / "doppler")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_model_is_fitted_to_a_folder_of_studies(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapt, "LEAST_PICTURES", 3)
    arguments = ["adapt", str(studies), "--export", "here", "--output", str(tmp_path / "models")]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0, result.output
    assert "3 images, 1 left out" in result.output
    assert "Secret" not in result.output
    bundle = load_bundle(tmp_path / "models" / "here")
    shipped = load_bundle(models_dir() / "breast-us")
    assert bundle.version.startswith(f"{shipped.version}+")
    assert bundle.sha256 != shipped.sha256
    assert load_model(bundle.folder).threshold == shipped.threshold
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, SettingsError)
    assert "there already" in again.exception.problem


def test_too_few_images_write_nothing(studies: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["adapt", str(studies), "--export", "here", "--output", str(tmp_path / "models"), "--limit", "2"]
    )

    assert isinstance(result.exception, SettingsError)
    assert "2 pictures are too few" in result.exception.problem
    assert not (tmp_path / "models" / "here").exists()
