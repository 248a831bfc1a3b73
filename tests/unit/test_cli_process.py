from __future__ import annotations

from pathlib import Path

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
