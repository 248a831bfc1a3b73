"""A port that speaks TLS: who gets in, who does not, and what the log says of those."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cad_node.domain import ReceivedInstance
from cad_node.errors import SettingsError
from cad_node.tls import TlsSocket
from tests.certificates import Authority, Pair
from tests.factories import us_cine, us_image
from tests.receiving import (
    RawPeer,
    Receiver,
    Sender,
    associate_request,
    dataset_bytes,
    p_data,
    pdu,
    send,
    store_command,
    wait_until,
    without_meta,
)

SMALL = {"rows": 32, "columns": 48}


class BioPeer:
    """A peer whose records can be sent in part."""

    def __init__(self, receiver: Receiver) -> None:
        assert receiver.tls is not None
        self.socket = socket.create_connection(("127.0.0.1", receiver.port), 30)
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = receiver.tls.wrap_bio(self._from_peer, self._to_peer, server_hostname="127.0.0.1")
        self._pump(self._tls.do_handshake)

    def __enter__(self) -> BioPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def write(self, content: bytes, only: int | None = None) -> None:
        """Send it in one record, or the first bytes of that."""
        self._tls.write(content)
        self.socket.sendall(self._to_peer.read()[:only])

    def read(self, count: int) -> bytes:
        """The next bytes, once they are there."""
        return self._pump(lambda: self._tls.read(count))

    def read_what_there_is(self) -> None:
        """Leave nothing of what has come."""
        with suppress(ssl.SSLWantReadError):
            while True:
                self._tls.read(4096)

    def _pump(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._to_peer.read())
                self._from_peer.write(self.socket.recv(65536))
            else:
                self.socket.sendall(self._to_peer.read())
                return result


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue()


@pytest.fixture
def receiver(pair: Pair) -> Iterator[Receiver]:
    with Receiver(pair=pair) as running:
        yield running


@pytest.fixture
def mutual(pair: Pair, authority: Authority) -> Iterator[Receiver]:
    """Senders must show a certificate of the authority."""
    with Receiver(pair=pair, tls_client_ca=authority.file) as running:
        yield running


def client(authority: Authority, pair: Pair | None = None, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    for name, value in versions.items():
        setattr(context, name, value)
    return context


def is_refused(receiver: Receiver, tls: ssl.SSLContext) -> bool:
    """Whether TLS fails, or with 1.3, where the client is told late, the association."""
    try:
        with RawPeer(receiver.port, tls=tls) as peer:
            return not peer.send(associate_request()) or peer.closed_within(20)
    except (ssl.SSLError, ConnectionError):
        return True


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_instances_come_in_byte_by_byte_as_they_were_sent(
    receiver: Receiver, authority: Authority, version: ssl.TLSVersion
) -> None:
    images = [us_image(**SMALL), us_cine(frames=5)]  # the second is many records of TLS
    tls = client(authority, minimum_version=version, maximum_version=version)

    assert receiver.send(images, tls=tls) == [0, 0]

    assert [without_meta(one.part10) for one in receiver.accepted] == [dataset_bytes(one) for one in images]


def test_several_senders_are_served_at_once(receiver: Receiver) -> None:
    with Sender(receiver.port, tls=receiver.tls) as first, Sender(receiver.port, tls=receiver.tls) as second:
        assert (first.echo(), second.echo(), first.echo()) == (0, 0, 0)


def test_several_pdus_in_one_record_are_all_read(receiver: Receiver) -> None:
    """What TLS has decrypted already makes no descriptor readable."""
    image = us_image(**SMALL)
    whole = p_data(3, store_command(image.SOPInstanceUID)) + p_data(2, dataset_bytes(image))
    assert len(whole) < 16_384
    with receiver.connect() as peer:
        assert peer.associate() == 2
        peer.send(whole)

        assert peer.receive_pdu()[0] == 4
    assert len(receiver.accepted) == 1


def test_an_answer_does_not_wait_for_a_record_that_is_still_coming_in(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor that is readable may hold half a record, or one of TLS's own, and nothing to read."""
    with Receiver(pair=pair, network_timeout_s=60) as receiver, BioPeer(receiver) as peer:
        answering, asked, looked = threading.Event(), threading.Event(), threading.Event()
        accept, read = receiver.scp._accept, TlsSocket.read

        def read_and_tell(connection: TlsSocket, *args: Any) -> Any:
            looked.set()
            return read(connection, *args)

        monkeypatch.setattr(TlsSocket, "read", read_and_tell)

        def accept_late(received: ReceivedInstance) -> None:
            asked.set()
            answering.wait(30)
            accept(received)

        receiver.scp._accept = accept_late
        image = us_image(**SMALL)
        peer.write(associate_request())
        assert peer.read(1) == b"\x02"
        peer.write(p_data(3, store_command(image.SOPInstanceUID)) + p_data(2, dataset_bytes(image)))
        assert asked.wait(30)
        peer.read_what_there_is()
        looked.clear()
        peer.write(pdu(5, bytes(4)), only=7)
        assert looked.wait(30)
        answering.set()

        assert peer.read(1) == b"\x04"


def test_a_sender_with_a_certificate_of_the_ca_is_let_in(mutual: Receiver, authority: Authority) -> None:
    scanner = authority.issue("scanner", "scanner")

    assert mutual.send([us_image(**SMALL)], tls=client(authority, scanner)) == [0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("nobody", "it showed no certificate"),
        ("stranger", "its certificate is refused: unable to get local issuer certificate"),
        ("former", "its certificate is refused: certificate has expired"),
    ],
)
def test_a_sender_without_a_good_certificate_is_kept_out(
    mutual: Receiver,
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    who: str,
    said: str,
    version: ssl.TLSVersion,
) -> None:
    pairs = {
        "nobody": None,
        "stranger": Authority(tmp_path, "other").issue("stranger", "scanner"),
        "former": authority.issue("former", "scanner", days=-1),
    }

    assert is_refused(mutual, client(authority, pairs[who], maximum_version=version))

    assert mutual.accepted == []
    assert wait_until(lambda: f"Connection from 127.0.0.1 closed: {said}" in caplog.text)


def test_a_certificate_that_was_revoked_is_kept_out(pair: Pair, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    lost, kept = authority.issue("lost", "scanner"), authority.issue("kept", "scanner")
    authority.revoke(lost)
    with Receiver(pair=pair, tls_client_ca=authority.file) as receiver:
        assert receiver.tls is not None
        receiver.tls.load_cert_chain(lost.certificate, lost.key)
        assert is_refused(receiver, receiver.tls)
        receiver.tls.load_cert_chain(kept.certificate, kept.key)
        assert receiver.send([us_image(**SMALL)]) == [0]


def test_older_versions_and_weak_ciphers_are_refused(
    receiver: Receiver, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    weak = client(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("AES128-SHA")

    assert is_refused(receiver, weak)

    assert wait_until(lambda: "it offers neither TLS 1.3 nor TLS 1.2" in caplog.text)


def test_a_sender_that_does_not_trust_the_node_is_spoken_of(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_refused(receiver, client(Authority(tmp_path, "other")))

    assert wait_until(lambda: "it does not take the node's certificate" in caplog.text)


def test_a_sender_without_tls_is_told_by_an_abort_and_spoken_of(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(associate_request(calling="SECRET"))

        assert peer.receive_pdu()[0] == 7
        assert peer.receive_pdu()[0] == 0  # and closed, not reset
    assert wait_until(lambda: "127.0.0.1 closed: it speaks DICOM without TLS" in caplog.text)
    assert "SECRET" not in caplog.text


def test_what_is_neither_is_closed(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    with RawPeer(receiver.port) as peer:
        peer.send(b"GET / HTTP/1.1\r\n\r\n")

        assert peer.closed_within(20)
    assert wait_until(lambda: "it does not speak TLS" in caplog.text)


def test_a_port_without_tls_says_what_was_spoken_to_it(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver() as receiver:
        assert is_refused(receiver, ssl.create_default_context())

        assert wait_until(lambda: "it speaks TLS, which this port does not" in caplog.text)


def test_a_peer_that_only_looks_whether_the_port_is_open_is_not_spoken_of(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        RawPeer(receiver.port).socket.close()
        assert receiver.send([us_image(**SMALL)]) == [0]
        assert wait_until(lambda: not receiver.scp._server.associations)

    assert "closed" not in caplog.text


@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_has_a_deadline(pair: Pair, caplog: pytest.LogCaptureFixture, first: bytes) -> None:
    with Receiver(pair=pair, network_timeout_s=0.5) as receiver, RawPeer(receiver.port) as peer:
        peer.send(first)

        assert peer.closed_within(20)
        assert wait_until(lambda: "no TLS handshake came about in time" in caplog.text)
        assert wait_until(lambda: not receiver.scp._server.associations)


def test_connections_that_never_speak_keep_no_sender_out(pair: Pair) -> None:
    with Receiver(pair=pair, network_timeout_s=60, maximum_associations=2) as receiver:
        before = threading.active_count()
        silent = [RawPeer(receiver.port) for _ in range(100)]
        try:
            assert receiver.send([us_image(**SMALL)]) == [0]
            # One thread each for those that are waited for, none for those beyond the cap.
            assert wait_until(lambda: threading.active_count() - before <= 2 + 32 + 2)
        finally:
            for peer in silent:
                peer.socket.close()


def test_stopping_ends_handshakes(pair: Pair) -> None:
    receiver = Receiver(pair=pair, network_timeout_s=600)
    with receiver:
        before = threading.active_count()
        peers = [RawPeer(receiver.port) for _ in range(3)]
        peers[1].send(b"\x16\x03\x01")
        assert wait_until(lambda: len(receiver.scp._server.associations) == 3)

    assert wait_until(lambda: threading.active_count() < before)
    for peer in peers:
        assert peer.closed_within(20)
        peer.socket.close()


def test_a_renewed_certificate_is_shown_without_a_restart(receiver: Receiver, authority: Authority) -> None:
    def shown() -> Any:
        with receiver.connect() as peer:
            assert isinstance(peer.socket, ssl.SSLSocket)
            return (peer.socket.getpeercert() or {})["serialNumber"]

    receiver.tls = client(authority)
    with Sender(receiver.port, tls=receiver.tls) as under_way:
        first = shown()
        authority.issue()

        assert shown() != first
        assert under_way.echo() == 0


def test_a_receiver_without_its_key_is_not_made(pair: Pair) -> None:
    pair.key.unlink()

    with pytest.raises(SettingsError, match="tls_key"):
        Receiver(pair=pair)


def test_ipv6_is_served(pair: Pair, authority: Authority) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    named = authority.issue("v6", "::1")
    with Receiver(pair=named, host="::1") as receiver:
        assert send(receiver.port, [us_image(**SMALL)], host="::1", tls=client(authority)) == [0]
