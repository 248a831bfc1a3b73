from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cad_node.cli import app
from cad_node.errors import SettingsError


def test_an_archive_run_does_not_get_round_a_hold(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        f'[[destinations]]\nname = "archive"\ntype = "folder"\npath = "{tmp_path / "archive"}"\nhold = true\n'
    )

    output = str(tmp_path / "output")
    arguments = ["process", str(tmp_path), "-o", output, "--send", "archive", "--config", str(config)]
    result = CliRunner().invoke(app, arguments)

    assert isinstance(result.exception, SettingsError)
    assert "only once they are accepted" in str(result.exception)
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize("command", ["process", "clean"])
@pytest.mark.parametrize("output", ["file", "file/below"])
def test_an_output_that_cannot_be_written_is_wrong_usage(tmp_path: Path, command: str, output: str) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "file").write_bytes(b"")

    result = CliRunner().invoke(app, [command, str(tmp_path / "archive"), "-o", str(tmp_path / output)])

    assert result.exit_code == 2
    assert "folder for --output" in " ".join(result.output.split())
