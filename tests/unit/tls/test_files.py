"""What is refused before anybody relies on it, and how that is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from cad_node.errors import SettingsError
from cad_node.settings import CStoreDestinationSettings, ReceiveSettings, load_settings
from cad_node.tls import destination_tls, receiver_tls
from cad_node.tls.files import PASSPHRASE_VARIABLE
from tests.certificates import Authority, Pair, encrypt, self_signed


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def receiver(pair: Pair, client_ca: Path | None = None) -> Any:
    return receiver_tls(
        ReceiveSettings(tls_certificate=pair.certificate, tls_key=pair.key, tls_client_ca=client_ca)
    )


def destination(ca: Path | None = None, pair: Pair | None = None) -> Any:
    return destination_tls(
        CStoreDestinationSettings(
            name="pacs", host="127.0.0.1", port=2762, ae_title="PACS", tls=True, tls_ca=ca,
            tls_certificate=pair and pair.certificate, tls_key=pair and pair.key,
        )
    )  # fmt: skip


def test_a_certificate_tells_when_it_ends(authority: Authority) -> None:
    pair = authority.issue(days=12.5)

    ends = receiver(pair, authority.file).ends

    assert set(ends) == {pair.certificate, authority.file}
    assert destination(None, pair).ends == {pair.certificate: ends[pair.certificate]}


def test_a_certificate_that_nobody_else_issued_is_used(tmp_path: Path) -> None:
    pair = self_signed(tmp_path, "own")

    assert set(receiver(pair).ends) == {pair.certificate}
    assert set(destination(pair.certificate, pair).ends) == {pair.certificate}


def without_certificate(_: Authority, pair: Pair) -> Pair:
    pair.certificate.unlink()
    return pair


def without_key(_: Authority, pair: Pair) -> Pair:
    pair.key.unlink()
    return pair


def key_for_certificate(_: Authority, pair: Pair) -> Pair:
    return Pair(pair.key, pair.key)


def certificate_for_key(_: Authority, pair: Pair) -> Pair:
    pair.certificate.chmod(0o600)
    return Pair(pair.certificate, pair.certificate)


def key_of_another(authority: Authority, pair: Pair) -> Pair:
    return Pair(pair.certificate, authority.issue("other").key)


def key_that_all_may_read(_: Authority, pair: Pair) -> Pair:
    pair.key.chmod(0o644)
    return pair


def expired(authority: Authority, _: Pair) -> Pair:
    return authority.issue("old", days=-1)


def not_yet_valid(authority: Authority, _: Pair) -> Pair:
    return authority.issue("new", begins_in=1)


def weak(_: Authority, pair: Pair) -> Pair:
    return self_signed(pair.key.parent, "weak", bits=1024)


def with_a_passphrase(_: Authority, pair: Pair) -> Pair:
    encrypt(pair.key, "geheim")
    return pair


@pytest.mark.parametrize(
    ("spoil", "problem", "step"),
    [
        (
            without_certificate,
            "tls_certificate: .*node.pem cannot be read: No such file",
            "Put the file there",
        ),
        (without_key, "tls_key: .*node-key.pem cannot be read: No such file", "Put the file there"),
        (key_for_certificate, "holds no certificate in PEM form", "BEGIN CERTIFICATE"),
        (certificate_for_key, "holds no private key in PEM form", "BEGIN PRIVATE KEY"),
        (key_of_another, "is not that of the certificate", "both files of one order"),
        (key_that_all_may_read, r"others than the node can read .*\(mode 0644\)", "chmod 600"),
        (expired, "old.pem has expired", "openssl x509 -noout -dates -in .*old.pem"),
        (not_yet_valid, "new.pem is not valid yet", "-dates"),
        (weak, "is too weak", "2048 bits"),
        (with_a_passphrase, "is encrypted", PASSPHRASE_VARIABLE),
    ],
)
@pytest.mark.parametrize("end", ["receive", "destinations.pacs"])
def test_what_cannot_be_used_is_refused_with_the_next_step(
    authority: Authority, end: str, spoil: Callable[[Authority, Pair], Pair], problem: str, step: str
) -> None:
    pair = spoil(authority, authority.issue())

    with pytest.raises(SettingsError, match=problem) as caught:
        receiver(pair) if end == "receive" else destination(authority.file, pair)

    assert caught.value.problem.startswith(end)
    assert re.search(step, caught.value.hint)


def test_a_certificate_is_refused_at_the_end_that_it_was_not_made_for(tmp_path: Path) -> None:
    of_client = self_signed(tmp_path, "client", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    of_server = self_signed(tmp_path, "server", usage=ExtendedKeyUsageOID.SERVER_AUTH)

    with pytest.raises(SettingsError, match="must allow a TLS server"):
        receiver(of_client)
    with pytest.raises(SettingsError, match="must allow a TLS client"):
        destination(None, of_server)
    assert receiver(of_server).ends
    assert destination(None, of_client).ends


def test_a_file_of_cas_without_a_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")

    with pytest.raises(SettingsError, match=r"receive.tls_client_ca: .*empty.pem holds no certificate"):
        receiver(authority.issue(), empty)
    with pytest.raises(SettingsError, match=r"destinations.pacs.tls_ca: .*empty.pem holds no certificate"):
        destination(empty)


def test_the_passphrase_comes_from_the_environment(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.issue()
    encrypt(pair.key, "geheim")

    monkeypatch.setenv(PASSPHRASE_VARIABLE, "falsch")
    with pytest.raises(SettingsError, match="cannot be decrypted") as caught:
        receiver(pair)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "geheim")

    assert "falsch" not in str(caught.value)
    assert receiver(pair).ends
    load_settings()  # which takes it for no unknown key


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"receive": {"tls_certificate": "a"}}, "go together"),
        ({"receive": {"tls_key": "a"}}, "go together"),
        ({"receive": {"tls_client_ca": "a"}}, "without them there is no TLS"),
        ({"destinations": [{"tls": True, "tls_key": "a"}]}, "go together"),
        ({"destinations": [{"tls_ca": "a"}]}, "results would go out unencrypted"),
        ({"destinations": [{"tls_server_name": "a"}]}, "results would go out unencrypted"),
        ({"destinations": [{"tls": True, "tls_server_name": "a b"}]}, "tls_server_name"),
    ],
)
def test_settings_that_are_half_of_tls_are_refused(given: dict[str, Any], said: str) -> None:
    for one in given.get("destinations", ()):
        one.update(type="cstore", name="pacs", host="pacs", port=104, ae_title="PACS")

    with pytest.raises(SettingsError, match=said):
        load_settings(overrides=given)
