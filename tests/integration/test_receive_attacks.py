"""What an open port meets: each attack is bounded, ended, and disturbs no good sender."""

import resource
import socket
import struct
import threading
import time

import pytest

from cad_node.receive.connection import MAXIMUM_ASSOCIATE_BYTES
from tests.factories import us_image
from tests.receiving import (
    EXPLICIT,
    US_IMAGE,
    VERIFICATION,
    RawPeer,
    Receiver,
    associate_request,
    dataset_bytes,
    p_data,
    pdu,
    send,
    store_command,
    wait_until,
)

TIMEOUT_S = 1.5
# A loaded machine may be late, but not by this much.
CLOSED_S = 20.0


@pytest.fixture(params=["plain", "TLS"])
def receiver(request, authority):
    """The same holds for both, whoever attacks inside TLS."""
    before = threading.active_count()
    with Receiver(
        network_timeout_s=TIMEOUT_S,
        maximum_pdu_bytes=16384,
        maximum_instance_bytes=2_000_000,
        pair=authority.issue() if request.param == "TLS" else None,
    ) as running:
        yield running
        # Whatever happened, a good sender is served and nothing is left over.
        assert running.send([us_image(rows=32, columns=32)]) == [0]
        assert wait_until(lambda: not running.scp._server.associations)
    assert wait_until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: scanner\r\n\r\n",
        bytes(range(256)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello
        b"\0" * 64,
        pdu(4, b"\0" * 20),
        pdu(2, b"\0" * 80),
        pdu(5, bytes(4)),
        pdu(1, b"\0" * 10),
    ],
    ids=["http", "bytes", "tls", "zeros", "data", "accept", "release", "short request"],
)
def test_what_is_no_association_request_is_closed_at_once(receiver, first):
    began = time.monotonic()
    with receiver.connect() as peer:
        peer.send(first)
        assert peer.closed_within(CLOSED_S)
    assert time.monotonic() - began < TIMEOUT_S


def test_an_association_request_of_four_gigabytes_is_refused_unread(receiver):
    with receiver.connect() as peer:
        peer.send(pdu(1, b"", length=0xFFFFFFFF))
        assert peer.closed_within(TIMEOUT_S)


def test_the_longest_association_request_is_bounded(receiver):
    with receiver.connect() as peer:
        peer.send(pdu(1, b"", length=MAXIMUM_ASSOCIATE_BYTES + 1))
        assert peer.closed_within(TIMEOUT_S)


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\x10\x00\x00\x00", b"\x20\x00\xff\xff"])
def test_a_malformed_association_request_ends_the_connection(receiver, filling):
    with receiver.connect() as peer:
        body = associate_request()[6:80] + filling * 2000
        peer.send(pdu(1, body))
        assert peer.closed_within(CLOSED_S)


def test_a_dribbled_association_request_is_cut_off(receiver):
    with receiver.connect() as peer:
        request = associate_request()
        began = time.monotonic()
        for number in range(len(request)):
            if not peer.send(request[number : number + 1]) or time.monotonic() - began > 2 * TIMEOUT_S:
                break
            time.sleep(0.1)
        assert peer.closed_within(CLOSED_S)


def test_a_silent_connection_is_closed(receiver):
    with receiver.connect() as peer:
        assert not peer.closed_within(TIMEOUT_S / 3)
        assert peer.closed_within(CLOSED_S)


def test_a_silent_association_is_aborted(receiver):
    with receiver.connect() as peer:
        assert peer.associate() == 2
        assert not peer.closed_within(TIMEOUT_S / 3)
        assert peer.closed_within(CLOSED_S)


def test_a_stall_within_a_pdu_is_cut_off(receiver):
    with receiver.connect() as peer:
        assert peer.associate() == 2
        peer.send(p_data(3, store_command("1.2.3"))[:40])
        assert peer.closed_within(CLOSED_S)


def test_a_pdu_longer_than_negotiated_is_refused_unread(receiver):
    with receiver.connect() as peer:
        assert peer.associate() == 2
        peer.send(p_data(3, store_command("1.2.3")))
        peer.send(pdu(4, b"", length=300_000_000))
        assert peer.receive_pdu()[0] == 7
        assert peer.closed_within(TIMEOUT_S)


def test_a_data_set_in_drops_is_cut_off(receiver):
    """Each PDU is whole and in time, but they never come to an end."""
    with receiver.connect() as peer:
        assert peer.associate() == 2
        peer.send(p_data(3, store_command("1.2.3")))
        began = time.monotonic()
        while peer.send(p_data(0, b"x")) and time.monotonic() - began < CLOSED_S:
            time.sleep(0.2)
        assert peer.closed_within(CLOSED_S)
        assert time.monotonic() - began < CLOSED_S


def test_an_endless_data_set_is_aborted_at_the_limit_and_not_kept(receiver):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with receiver.connect() as peer:
        assert peer.associate() == 2
        peer.send(p_data(3, store_command("1.2.3")))
        began = time.monotonic()
        while peer.send(p_data(0, bytes(16_000))) and time.monotonic() - began < CLOSED_S:
            pass
        assert time.monotonic() - began < CLOSED_S
        assert peer.closed_within(CLOSED_S)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kB
    assert receiver.accepted == []


@pytest.mark.parametrize(
    "messages",
    [
        [p_data(2, b"data without a command")],
        [p_data(3, b"\0" * 7)],
        [p_data(3, b"\xff" * 100)],
        [p_data(1, bytes(8000))] * 4,
        [p_data(3, store_command("1.2.3", field=0x0020))],
        [p_data(3, store_command("1.2.3", data_set=0x0101))],
        [p_data(3, store_command("1.2.3"), context_id=99)],
        [p_data(3, store_command("1.2.3")), p_data(2, b"", context_id=3)],
        [p_data(3, store_command("1.2.3")), p_data(3, store_command("1.2.3"))],
        [pdu(4, struct.pack(">LBB", 5000, 1, 3))],
        [pdu(4, b"\0\0")],
        [pdu(4, struct.pack(">LBB", 1, 1, 3))],
        [associate_request()],
        [pdu(9, b"")],
    ],
    ids=[
        "no command", "short command", "wrong command", "long command", "other request", "no data set",
        "context not accepted", "context changes", "command in data", "fragment too long", "fragment cut",
        "empty fragment", "second request", "unknown PDU",
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_aborted(receiver, messages):
    with receiver.connect() as peer:
        assert peer.associate() == 2
        for message in messages:
            peer.send(message)
        assert peer.receive_pdu()[0] in (7, 0)
        assert peer.closed_within(CLOSED_S)
    assert receiver.accepted == []


def test_requests_that_do_not_wait_for_answers_are_not_piled_up(receiver):
    image = us_image(rows=32, columns=32)
    answering = threading.Event()
    accept = receiver.scp._accept
    receiver.scp._accept = lambda received: (answering.wait(CLOSED_S), accept(received))[1]
    one = p_data(3, store_command(image.SOPInstanceUID)) + p_data(2, dataset_bytes(image))
    with receiver.connect() as peer:
        assert peer.associate() == 2
        for _ in range(3):
            peer.send(one)
        try:
            assert peer.receive_pdu()[0] in (7, 0)
        finally:
            answering.set()


def test_a_peer_that_asks_for_ever_and_never_reads_is_cut_off(receiver):
    with receiver.connect() as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert peer.associate(contexts=((1, VERIFICATION, EXPLICIT),)) == 2
        peer.socket.settimeout(CLOSED_S)
        echo = p_data(3, store_command("", VERIFICATION, 0x30, 0x0101))
        began = time.monotonic()
        while peer.send(echo * 50) and time.monotonic() - began < CLOSED_S:
            pass
        assert time.monotonic() - began < CLOSED_S


def test_a_hundred_silent_connections_do_not_keep_a_scanner_out():
    with Receiver(network_timeout_s=15, maximum_associations=4) as receiver:
        before = threading.active_count()
        silent = [RawPeer(receiver.port) for _ in range(100)]
        try:
            assert send(receiver.port, [us_image(rows=32, columns=32)]) == [0]
            # Two threads each for those that are waited for, none for those beyond the cap.
            assert wait_until(lambda: threading.active_count() - before <= 2 * (4 + 32) + 4)
        finally:
            for peer in silent:
                peer.socket.close()


def test_an_association_in_use_is_not_given_up_for_silent_ones():
    with Receiver(network_timeout_s=15, maximum_associations=2) as receiver, RawPeer(receiver.port) as good:
        assert good.associate() == 2
        silent = [RawPeer(receiver.port) for _ in range(60)]
        image = us_image(rows=32, columns=32)
        good.send(p_data(3, store_command(image.SOPInstanceUID)) + p_data(2, dataset_bytes(image)))
        assert good.receive_pdu(20)[0] == 4
        for peer in silent:
            peer.socket.close()
    assert len(receiver.accepted) == 1


def test_a_crowd_of_one_machine_makes_no_other_give_way():
    with Receiver(network_timeout_s=15, maximum_associations=2) as receiver, RawPeer(receiver.port) as slow:
        server = receiver.scp._server
        assert wait_until(lambda: len(server.associations) == 1)
        crowd = [
            socket.create_connection(("127.0.0.1", receiver.port), 10, ("127.0.0.2", 0)) for _ in range(60)
        ]
        try:
            # The last of them has a place: all before it were seen to.
            port = crowd[-1].getsockname()[1]
            assert wait_until(lambda: port in {one.requestor.port for one in server.associations})
            assert slow.associate() == 2
        finally:
            for connection in crowd:
                connection.close()


def test_a_crowd_of_connections_at_once_is_rejected_or_served():
    with Receiver(network_timeout_s=15, maximum_associations=3) as receiver:
        peers = [RawPeer(receiver.port) for _ in range(12)]
        for peer in peers:
            peer.send(associate_request(((1, US_IMAGE, EXPLICIT),)))
        kinds = [peer.receive_pdu(20)[0] for peer in peers]
        for peer in peers:
            peer.socket.close()

    assert kinds.count(2) == 3
    assert kinds.count(3) == 9
