import re
import tomllib
from pathlib import Path

import pytest

from cad_node.errors import SettingsError
from cad_node.settings import NodeSettings, is_loopback, load_settings
from deploy.generate import EXAMPLE, README, TABLE, example_toml, readme, settings_table


def _file(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_the_example_file_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example_toml(), "run `make docs`"


def test_the_table_of_settings_is_what_the_settings_say() -> None:
    assert TABLE.read_text(encoding="utf-8") == settings_table(), "run `make docs`"


def test_the_readme_says_what_explain_says() -> None:
    assert README.read_text(encoding="utf-8") == readme(), "run `make docs`"


def test_the_example_file_can_be_used_as_it_is() -> None:
    assert load_settings(EXAMPLE) == NodeSettings()


def test_every_key_of_the_example_file_is_valid_when_uncommented(tmp_path: Path) -> None:
    text = re.sub(r"^#(?! )", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)

    settings = load_settings(_file(tmp_path, text))

    assert [destination.name for destination in settings.destinations] == ["pacs", "outbox"]
    assert settings.jobs.database_url == tomllib.loads(text)["jobs"]["database_url"]


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, "[receive]\nport = 1\nae_title = 'FILE'\nmaximum_associations = 3\n")
    monkeypatch.setenv("CADNODE_RECEIVE__PORT", "2")
    monkeypatch.setenv("CADNODE_RECEIVE__AE_TITLE", "ENVIRONMENT")

    receive = load_settings(path, {"receive": {"port": 3}}).receive

    assert (receive.port, receive.ae_title, receive.maximum_associations) == (3, "ENVIRONMENT", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[receive]\nprot = 104\n", "receive.prot"),
        ("[receive]\nport = 70000\n", "receive.port"),
        ("[receive]\nae_title = 'A TITLE THAT IS TOO LONG'\n", "receive.ae_title"),
        ("[receive]\nhost = '0.0.0.0'\n", "calling_ae_titles"),
        ("[[destinations]]\ntype = 'ftp'\nname = 'x'\n", "destinations.0"),
        (2 * "[[destinations]]\ntype = 'folder'\nname = 'x'\npath = 'x'\n", "same name"),
        ("[receive\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings(_file(tmp_path, text))


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(tmp_path / "none.toml")


def test_a_password_never_stands_in_an_error(tmp_path: Path) -> None:
    path = _file(tmp_path, "[jobs]\ndatabase_url = 'postgresql://u:hunter2@h/d'\nworkers = 'hunter2'\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(path)

    assert "hunter2" not in str(caught.value)


def test_without_destinations_results_go_to_a_folder(tmp_path: Path) -> None:
    settings = load_settings(None, {"data_dir": tmp_path})

    assert settings.destinations[0].model_dump(exclude_defaults=True) | {"type": "folder"} == {
        "name": "outbox",
        "type": "folder",
        "path": tmp_path / "outbox",
    }


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("pacs", False)],
)
def test_loopback_is_told_from_the_network(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
