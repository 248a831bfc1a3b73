from __future__ import annotations

from typing import Any

import pytest

from cad_node.cli.check import _checks
from cad_node.deliver import CommitmentScu
from cad_node.errors import CadNodeError, DestinationRefusedError
from cad_node.settings import CStoreDestinationSettings, NodeSettings, ReceiveSettings
from tests.receiving import Receiver
from tests.unit.deliver.test_commitment import Pacs, serving


def settings(host: str = "127.0.0.1", port: int = 104, **changes: Any) -> NodeSettings:
    values = {"name": "pacs", "host": host, "port": port, "ae_title": "PACS", "storage_commitment": True}
    receive = ReceiveSettings(port=11113, calling_ae_titles=("SCANNER",))
    return NodeSettings(receive=receive, destinations=(CStoreDestinationSettings(**{**values, **changes}),))


def said(settings: NodeSettings) -> str:
    return next(test() for name, test, _ in _checks(settings) if name == "commitment of pacs")


def test_where_and_by_whom_it_is_reported_is_said() -> None:
    with serving(Pacs()) as pacs:
        chosen = settings(
            port=pacs.port, commitment_ae_titles=("PACS", "ARCHIVE"), calling_ae_title="CADSEND"
        )

        assert said(chosen) == "offered; PACS or ARCHIVE reports to CADSEND on 127.0.0.1:11113"


def test_a_pacs_that_does_not_offer_it_fails() -> None:
    with Receiver() as node, pytest.raises(DestinationRefusedError, match="offers no Storage Commitment"):
        said(settings(port=node.port, ae_title="CADNODE"))


def test_a_pacs_that_cannot_reach_the_node_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommitmentScu, "verify", lambda _: None)

    with pytest.raises(CadNodeError, match=r"192\.0\.2\.7 cannot report back: the node listens on 127"):
        said(settings("192.0.2.7"))


def test_a_destination_that_is_not_asked_has_no_such_line() -> None:
    assert "commitment of pacs" not in {name for name, _, _ in _checks(settings(storage_commitment=False))}
