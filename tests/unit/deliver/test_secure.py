"""A destination over TLS: what is sent, and each way in which TLS fails, against small real peers."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, evt

from cad_node.deliver import CStoreDestination
from cad_node.deliver.association import open_association
from cad_node.errors import DeliveryError, DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings
from tests.certificates import Authority, Pair, self_signed
from tests.unit.deliver.peers import closes, listening, peer, resets, says
from tests.unit.jobs.stubs import write_results

VERIFICATION = "1.2.840.10008.1.1"
SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
TLS_1_2 = ssl.TLSVersion.TLSv1_2


class Pacs:
    """A PACS that speaks TLS, with what it took."""

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[str] = []

    def store(self, event: Any) -> int:
        self.taken.append(str(event.request.AffectedSOPInstanceUID))
        return 0


@contextmanager
def pacs(
    pair: Pair, client_ca: Path | None = None, maximum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[Pacs]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = maximum_version
    context.load_cert_chain(pair.certificate, pair.key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    taking = Pacs()
    ae = AE(ae_title="PACS")
    ae.require_called_aet = True
    for sop_class in (VERIFICATION, SEG, SR):
        ae.add_supported_context(sop_class)
    with listening(ae, [(evt.EVT_C_STORE, taking.store)], ssl_context=context) as taking.port:
        yield taking


def settings(
    port: int, ca: Path | None, client: Pair | None = None, **changes: Any
) -> CStoreDestinationSettings:
    values = {
        "name": "pacs", "host": "127.0.0.1", "port": port, "ae_title": "PACS", "timeout_s": 20.0, "tls": True,
        "tls_ca": ca, "tls_certificate": client and client.certificate, "tls_key": client and client.key,
    }  # fmt: skip
    return CStoreDestinationSettings(**{**values, **changes})


def failure(*args: Any, **changes: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        open_association(settings(*args, **changes), [(VERIFICATION, [ImplicitVRLittleEndian])])
    assert isinstance(caught.value, DestinationUnreachableError)
    return caught.value


@pytest.mark.parametrize("version", [TLS_1_2, ssl.TLSVersion.TLSv1_3])
def test_results_are_sent_and_echoes_answered(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    write_results(tmp_path, "1.2.3", "abcdefab")
    sent: list[str] = []
    with pacs(authority.issue(), maximum_version=version) as peer:
        destination = CStoreDestination(settings(peer.port, authority.file))
        destination.verify()
        destination.send(tmp_path, (), sent.append)

    assert len(sent) == 2
    assert peer.taken == sent


def test_the_node_shows_its_certificate_where_one_is_asked_for(authority: Authority) -> None:
    with pacs(authority.issue(), authority.file) as peer:
        CStoreDestination(settings(peer.port, authority.file, authority.issue("client", "cadnode"))).verify()


def test_a_certificate_itself_may_be_trusted_instead_of_a_ca(tmp_path: Path) -> None:
    own = self_signed(tmp_path, "own")
    with pacs(own) as peer:
        CStoreDestination(settings(peer.port, own.certificate)).verify()


def test_a_certificate_of_a_ca_that_is_not_named_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    with pacs(authority.issue()) as peer:
        of_another = failure(peer.port, Authority(tmp_path, "other").file)
        of_the_machine = failure(peer.port, None)

    for error in (of_another, of_the_machine):
        assert error.problem.startswith("Destination pacs shows a certificate that is not trusted")
        assert "tls_ca" in error.hint


def test_a_certificate_that_has_expired_is_named(authority: Authority) -> None:
    with pacs(authority.issue("old", days=-1)) as peer:
        error = failure(peer.port, authority.file)

    assert error.problem == "Destination pacs shows a certificate that has expired."
    assert "renewed" in error.hint


def test_a_certificate_that_begins_tomorrow_is_named(authority: Authority) -> None:
    with pacs(authority.issue("new", begins_in=1)) as peer:
        assert "not valid yet" in failure(peer.port, authority.file).problem


def test_a_certificate_must_be_issued_to_the_host_or_to_the_name_that_is_given(authority: Authority) -> None:
    with pacs(authority.issue("named", "pacs.example.org")) as peer:
        error = failure(peer.port, authority.file)
        other = failure(peer.port, authority.file, tls_server_name="ris.example.org")
        CStoreDestination(settings(peer.port, authority.file, tls_server_name="pacs.example.org")).verify()

    assert error.problem == "Destination pacs shows a certificate that is not issued to 127.0.0.1."
    assert "tls_server_name" in error.hint
    assert "ris.example.org" in other.problem


def test_a_weak_certificate_is_named(tmp_path: Path) -> None:
    weak = self_signed(tmp_path, "weak", bits=1024)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(weak.certificate, weak.key)

    def shake_hands(connection: socket.socket) -> None:
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: shake_hands(listener.accept()[0]))
        thread.start()
        error = failure(listener.getsockname()[1], weak.certificate)
        thread.join()

    assert "too weak" in error.problem


@pytest.mark.parametrize("version", [TLS_1_2, ssl.TLSVersion.TLSv1_3])
def test_a_pacs_that_wants_a_certificate_of_the_node_is_understood(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """By TLS 1.3 the refusal comes after the handshake, and may be lost where the PACS closes at once."""
    stranger = Authority(tmp_path, "other").issue("stranger", "cadnode")
    with pacs(authority.issue(), authority.file, version) as peer:
        without = failure(peer.port, authority.file)
        unknown = failure(peer.port, authority.file, stranger)

    assert "certificate" in str(without)
    assert "certificate" in str(unknown)
    if version is TLS_1_2:
        assert (
            unknown.problem
            == "Destination pacs does not take the node's certificate (TLSV1_ALERT_UNKNOWN_CA)."
        )


@pytest.mark.parametrize(
    "answer", [says(bytes.fromhex("0700 00000004 00000000")), says(b"HTTP/1.1 400 Bad\r\n\r\n")]
)
def test_a_peer_that_speaks_no_tls_is_named(
    authority: Authority, answer: Callable[[socket.socket], None]
) -> None:
    with peer(answer) as number:
        error = failure(number, authority.file)

    assert error.problem == f"Destination pacs speaks no TLS at 127.0.0.1:{number}."
    assert "tls = false" in error.hint


@pytest.mark.parametrize("answer", [closes, resets])
def test_a_peer_that_closes_in_the_handshake_is_named(
    authority: Authority, answer: Callable[[socket.socket], None]
) -> None:
    with peer(answer) as number:
        error = failure(number, authority.file)

    assert (
        error.problem
        == f"Destination pacs closed the connection at 127.0.0.1:{number} during the TLS handshake."
    )
    assert "Most likely it speaks no TLS there" in error.hint


def test_a_peer_that_never_answers_is_given_up(authority: Authority) -> None:
    done = threading.Event()
    with peer(lambda _: done.wait(20)) as number:
        try:
            error = failure(number, authority.file, timeout_s=0.5)
        finally:
            done.set()

    assert "gave no TLS answer within 0.5 s" in error.problem


def test_a_port_where_nobody_listens_is_not_taken_for_a_failure_of_tls(authority: Authority) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        number = unused.getsockname()[1]
        error = failure(number, authority.file)

    assert error.problem == f"Destination pacs cannot be reached at 127.0.0.1:{number}."


def test_a_rejection_is_still_a_rejection(authority: Authority) -> None:
    with pacs(authority.issue()) as peer:
        error = failure(peer.port, authority.file, ae_title="NOBODY")

    assert "rejected the association: it is not the called AE title" in error.problem


def test_files_that_cannot_be_used_are_named_at_each_attempt(tmp_path: Path) -> None:
    error = failure(1, tmp_path / "none.pem")

    assert error.problem.startswith(
        "Destination pacs cannot be spoken to over TLS: destinations.pacs.tls_ca:"
    )
    assert "Put the file there" in error.hint


def test_renewed_certificates_count_from_the_next_association_on(
    authority: Authority, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Authority(tmp_path, "other").file.read_bytes())
    with pacs(authority.issue()) as peer:
        destination = CStoreDestination(settings(peer.port, trusted))
        with pytest.raises(DestinationUnreachableError, match="not trusted"):
            destination.verify()

        trusted.write_bytes(authority.file.read_bytes())

        destination.verify()
