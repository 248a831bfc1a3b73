from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from cad_node.cli.check import _checks, check
from cad_node.cli.exit_codes import SETTINGS
from cad_node.cli.training_options import find_model
from cad_node.errors import CadNodeError, DestinationUnreachableError, ModelError, SettingsError
from cad_node.settings import (
    CStoreDestinationSettings,
    NodeSettings,
    PipelineSettings,
    ReceiveSettings,
    RuntimeSettings,
)
from tests.certificates import Authority
from tests.receiving import Receiver


def said(settings: NodeSettings, what: str) -> str:
    return next(test() for name, test, _ in _checks(settings) if name == what)


def receive(authority: Authority, days: float, client_ca: Path | None = None) -> NodeSettings:
    pair = authority.issue(days=days)
    return NodeSettings(
        receive=ReceiveSettings(tls_certificate=pair.certificate, tls_key=pair.key, tls_client_ca=client_ca)
    )


def test_a_port_without_tls_is_said_to_be_one() -> None:
    assert said(NodeSettings(), "encryption") == "none: the port speaks DICOM without TLS"


def test_what_the_port_asks_for_and_when_its_certificate_ends_is_said(authority: Authority) -> None:
    open_to_all = said(receive(authority, 40.5), "encryption")
    mutual = said(receive(authority, 20.5, authority.file), "encryption")

    assert "senders' certificates: not asked for" in open_to_all
    assert open_to_all.endswith(("node.pem ends in 40 days", "node.pem ends in 41 days"))
    assert f"senders' certificates: of {authority.file}" in mutual
    assert "node.pem ends in 2" in mutual
    assert "days: renew it;" in mutual


def test_files_that_cannot_be_used_are_a_fault_of_the_settings(authority: Authority) -> None:
    settings = receive(authority, 40)
    assert settings.receive.tls_key is not None
    settings.receive.tls_key.unlink()
    test, code = next((test, code) for name, test, code in _checks(settings) if name == "encryption")

    with pytest.raises(CadNodeError, match="tls_key"):
        test()
    assert code == SETTINGS


def test_a_destination_is_echoed_over_tls(authority: Authority) -> None:
    with Receiver(pair=authority.issue()) as pacs:
        values = {"name": "pacs", "host": "127.0.0.1", "port": pacs.port, "ae_title": "CADNODE"}
        secure = CStoreDestinationSettings(**values, tls=True, tls_ca=authority.file)  # type: ignore[arg-type]
        plain = CStoreDestinationSettings(**values)  # type: ignore[arg-type]

        answer = said(NodeSettings(destinations=(secure,)), "destination pacs")
        with pytest.raises(DestinationUnreachableError, match="closed or aborted"):
            said(NodeSettings(destinations=(plain,)), "destination pacs")

    assert answer.startswith(f"answers over TLS; {authority.file} ends in ")


def test_looking_makes_no_folder(tmp_path: Path) -> None:
    settings = NodeSettings(data_dir=tmp_path / "spool" / "node")

    assert said(settings, "data folder").endswith(f" can make {tmp_path}/spool/node")
    assert said(settings, "destination outbox") == "can be written to"
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_everybody_can_look_into_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(SettingsError, match="Every user of this machine can look into"):
        said(NodeSettings(data_dir=tmp_path), "data folder")
    tmp_path.chmod(0o750)
    assert "can write to" in said(NodeSettings(data_dir=tmp_path), "data folder")


def test_a_data_folder_that_cannot_be_one_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsError, match=r"cannot be written to by .*: Not a directory"):
            said(NodeSettings(data_dir=path), "data folder")


def test_a_device_that_this_machine_lacks_fails() -> None:
    with pytest.raises(ModelError, match="cuda:63"):
        said(NodeSettings(runtime=RuntimeSettings(device="cuda:63")), "device")


def test_a_folder_of_models_that_is_not_there_is_not_passed_over(tmp_path: Path) -> None:
    settings = NodeSettings(runtime=RuntimeSettings(models_dir=tmp_path / "modles"))

    with pytest.raises(ModelError, match=r"runtime.models_dir .*/modles is no folder"):
        said(settings, "model")


@pytest.mark.parametrize(
    ("host", "hint"),
    [("192.0.2.77", "an address of this machine"), ("cad.invalid", "an address of this machine")],
)
def test_an_address_of_another_machine_is_told_from_a_port_that_is_taken(host: str, hint: str) -> None:
    receive = ReceiveSettings(host=host, port=11999, calling_ae_titles=("SCANNER",))

    with pytest.raises(SettingsError, match=hint):
        said(NodeSettings(receive=receive), "port")


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with Receiver() as node, pytest.raises(SettingsError, match="A running node holds its own port"):
        said(NodeSettings(receive=ReceiveSettings(port=node.port)), "port")


def test_paths_are_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    far = tmp_path / ("folder-with-a-long-name-" * 6) / "models"
    config = tmp_path / "node.toml"
    config.write_text(f"data_dir = '{tmp_path}/node'\n[runtime]\nmodels_dir = '{far}'\n")

    with pytest.raises(typer.Exit) as ended:
        check(config)

    assert ended.value.exit_code == SETTINGS
    cells = re.sub(r"[│\s]", "", capsys.readouterr().out)
    assert str(far) in cells


def test_a_model_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    settings = NodeSettings(
        pipeline=PipelineSettings(model="breast-uss"), runtime=RuntimeSettings(models_dir=tmp_path)
    )

    with pytest.raises(ModelError, match=r"no model 'breast-uss' in .* or .*: annotations, breast-us.*, own"):
        said(settings, "model")
    with pytest.raises(
        ModelError, match=r"no model 'nope': neither a folder here .*: annotations, breast-us"
    ):
        find_model("nope")
