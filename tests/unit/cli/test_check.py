from __future__ import annotations

from pathlib import Path

import pytest

from cad_node.cli.check import _checks
from cad_node.cli.exit_codes import SETTINGS
from cad_node.errors import CadNodeError, DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings, NodeSettings, ReceiveSettings
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
