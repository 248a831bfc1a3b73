from __future__ import annotations

import logging
import ssl
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from cad_node.settings import CStoreDestinationSettings, NodeSettings, ReceiveSettings
from cad_node.tls import ReceiverTls, contexts, destination_tls, look_at_files, receiver_tls
from tests.certificates import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "_reminded", {})


def receive(pair: Pair) -> ReceiveSettings:
    return ReceiveSettings(tls_certificate=pair.certificate, tls_key=pair.key)


def pacs(ca: Path) -> CStoreDestinationSettings:
    return CStoreDestinationSettings(
        name="pacs", host="127.0.0.1", port=2762, ae_title="PACS", tls=True, tls_ca=ca
    )


def test_both_ends_speak_what_bcp_195_recommends_and_nothing_else(authority: Authority) -> None:
    for secure in (receiver_tls(receive(authority.issue())), destination_tls(pacs(authority.file))):
        context = secure.context
        assert (context.minimum_version, context.maximum_version) == (
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.TLSv1_3,
        )
        assert all(cipher["aead"] for cipher in context.get_ciphers())
        assert {cipher["kea"] for cipher in context.get_ciphers()} == {"kx-ecdhe", "kx-any"}
        assert all(cipher["strength_bits"] >= 128 for cipher in context.get_ciphers())


def test_a_destination_is_always_verified_by_ca_and_name(authority: Authority) -> None:
    context = destination_tls(pacs(authority.file)).context

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_file_that_was_replaced_is_used_for_the_next_connection(authority: Authority) -> None:
    pair = authority.issue(days=9)
    tls = ReceiverTls(receive(pair))
    first = tls.context()
    assert tls.context() is first

    authority.issue(days=99)

    assert tls.context() is not first


def test_half_of_a_renewal_leaves_the_former_certificate_in_use(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = authority.issue()
    tls = ReceiverTls(receive(pair))
    first = tls.context()
    new = authority.issue("new")

    pair.certificate.write_bytes(new.certificate.read_bytes())
    assert tls.context() is first
    assert tls.context() is first
    assert caplog.text.count("the former stay in use") == 1
    pair.key.write_bytes(new.key.read_bytes())

    assert tls.context() is not first


def test_a_certificate_that_ends_soon_is_spoken_of_once_a_day(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    secure = receiver_tls(receive(authority.issue(days=60)))
    end = secure.ends[next(iter(secure.ends))].date()
    days = [date.fromordinal(end.toordinal() - left) for left in (31, 30, 30, 29, -1)]

    for day in days:
        secure.remind(day)

    said = [record.getMessage().split(".pem ")[1].split(":")[0] for record in caplog.records]
    assert said == ["ends in 30 days", "ends in 29 days", "has expired"]


def test_a_start_names_what_ends_soon_at_both_ends(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    own, client = authority.issue(days=5), authority.issue("client", days=5)
    settings = NodeSettings(
        receive=receive(own),
        destinations=(
            pacs(authority.file).model_copy(
                update={"tls_certificate": client.certificate, "tls_key": client.key}
            ),
        ),
    )

    look_at_files(settings)

    assert str(own.certificate) in caplog.text
    assert str(client.certificate) in caplog.text
    assert datetime.now(UTC).date() in contexts._reminded.values()


def test_a_destination_without_its_files_keeps_no_node_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        look_at_files(NodeSettings(destinations=(pacs(tmp_path / "none.pem"),)))

    assert "destinations.pacs.tls_ca" in caplog.text
    assert "Until then nothing can be sent there." in caplog.text
