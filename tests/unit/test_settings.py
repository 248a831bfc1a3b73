import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from cad_node.deidentify.pseudonyms import SECRET_VARIABLE
from cad_node.errors import SettingsError
from cad_node.settings import NodeSettings, is_loopback, load_settings
from cad_node.settings.problems import SECRETS
from cad_node.settings.section import PATTERNS
from cad_node.tls.files import PASSPHRASE_VARIABLE
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


_PACS = "[[destinations]]\ntype = 'cstore'\nname = 'pacs'\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[receive]\nprot = 104\n", "receive.prot is no setting (did you mean port?)."),
        ("[recieve]\nport = 104\n", "recieve is no setting (did you mean receive?)."),
        ("ae_title = 'CAD'\n", "ae_title is no setting; ae_title belongs to [receive]."),
        ("[receive]\ndata_dir = 'x'\n", "data_dir stands at the top of the file, above every [section]."),
        ("timeout_s = 1\n", "timeout_s belongs to [[destinations]]."),
        ("[receive]\nport = 70000\n", "receive.port must be at most 65535."),
        ("[receive]\nport = 'a'\n", "receive.port must be a whole number."),
        (
            "[receive]\nae_title = 'A TITLE THAT IS TOO LONG'\n",
            "receive.ae_title is longer than 16 characters.",
        ),
        (
            "[receive]\nae_title = 'CAD\\NODE'\n",
            "receive.ae_title must be an AE title: ASCII without backslash",
        ),
        ("[receive]\nae_title = ''\n", "receive.ae_title is empty."),
        (
            "[receive]\ncalling_ae_titles = 'US1'\n",
            'receive.calling_ae_titles must be a list, such as ["A", "B"].',
        ),
        ("[receive]\nhost = '0.0.0.0'\n", "receive.calling_ae_titles names nobody"),
        ("[receive]\ntls_key = 'x'\n", "receive: tls_certificate and tls_key go together"),
        ("log_level = 'info'\n", "log_level must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'."),
        (
            "[[destinations]]\ntype = 'ftp'\nname = 'x'\n",
            'destination \'x\': type must be "cstore" or "folder".',
        ),
        ("[[destinations]]\nname = 1\n", "destination number 1: type must be"),
        (_PACS + "host = 'h'\nport = 104\n", "destination 'pacs': ae_title is missing."),
        (
            _PACS + "host = 'h'\nport = 104\nae_title = 'A'\nobj = 1\n",
            "'pacs': obj is no setting (did you mean objects?)",
        ),
        (_PACS.replace("[[", "[").replace("]]", "]"), "write [[destinations]], with two brackets."),
        (
            2 * "[[destinations]]\ntype = 'folder'\nname = 'x'\npath = 'x'\n",
            "destinations: two destinations have the same",
        ),
        ("[receive\n", "not valid TOML"),
        ('data_dir = "C:\\Users"\n', "Paths with a backslash stand in single quotes"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_and_what_would_fit(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings(_file(tmp_path, text))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CADNODE_RECEIVE__PORT", "a", "CADNODE_RECEIVE__PORT in the environment must be a whole number."),
        (
            "CADNODE_RECEIVE__PROT",
            "1",
            "CADNODE_RECEIVE__PROT in the environment is no setting (did you mean port?)",
        ),
        ("CADNODE_RECIEVE__PORT", "1", "names no setting (did you mean CADNODE_RECEIVE__…?)."),
        ("CADNODE_DATADIR", "x", "names no setting (did you mean CADNODE_DATA_DIR?)."),
        ("CADNODE_TLS_KEY_PASSPHRAS", "x", "(did you mean CADNODE_TLS_KEY_PASSPHRASE?)."),
        (
            "CADNODE_RECEIVE__CALLING_AE_TITLES",
            "US1,US2",
            "CALLING_AE_TITLES in the environment is no JSON; a list is",
        ),
        ("CADNODE_DESTINATIONS", "pacs", "CADNODE_DESTINATIONS in the environment is no JSON"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings(None)


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADNODE_RECEIVE__CALLING_AE_TITLES", '["US-ROOM-1", "PACS"]')

    assert load_settings(None).receive.calling_ae_titles == ("US-ROOM-1", "PACS")


@pytest.mark.parametrize("variable", [*SECRETS, "CADNODE_PORT", "CADNODE_SERVICE_HOST"])
def test_secrets_and_the_variables_of_a_cluster_are_let_be(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "tcp://192.0.2.1:104")

    assert load_settings(None) == NodeSettings()


def test_the_secrets_are_those_that_the_rooms_read() -> None:
    assert set(SECRETS) == {SECRET_VARIABLE, PASSPHRASE_VARIABLE}


def test_every_pattern_is_told_in_words() -> None:
    def patterns(model: type[BaseModel]) -> set[str]:
        schema = json.dumps(model.model_json_schema())
        return {json.loads(text) for text in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', schema)}

    assert patterns(NodeSettings) == set(PATTERNS)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xef\xbb\xbf[receive]\r\nport = 104\r\n")

    assert load_settings(path).receive.port == 104


def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes("[receive]\n# München\n".encode("latin-1"))

    with pytest.raises(SettingsError, match="not UTF-8: line 2 "):
        load_settings(path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


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
