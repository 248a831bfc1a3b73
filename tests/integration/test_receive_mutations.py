"""Damaged requests: a status or an abort, never a traceback, and never at another's cost."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.factories import us_image
from tests.receiving import (
    US_IMAGE,
    RawPeer,
    Receiver,
    Sender,
    associate_request,
    dataset_bytes,
    p_data,
    send,
    store_command,
    wait_until,
)

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
]
IMAGES = {syntax: us_image(rows=24, columns=32, transfer_syntax=syntax) for syntax in SYNTAXES}
ENCODED = {syntax: dataset_bytes(image) for syntax, image in IMAGES.items()}
DAMAGES = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "drop"]), st.floats(0, 1), st.binary(max_size=6)),
    min_size=1,
    max_size=5,
)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _damaged(content: bytes, damages) -> bytes:
    changed = bytearray(content)
    for kind, place, value in damages:
        at = int(place * min(len(changed), 2000))
        if kind == "set":
            changed[at : at + len(value)] = value
        elif kind == "cut":
            del changed[at:]
        elif kind == "insert":
            changed[at:at] = value
        else:
            del changed[at : at + len(value)]
    return bytes(changed)


@pytest.fixture
def receiver():
    # A thread that dies of an exception fails the test: pytest turns it into an error.
    with Receiver(network_timeout_s=2, maximum_instance_bytes=1_000_000) as running:
        yield running
        assert wait_until(lambda: not running.scp._server.associations)


def test_damaged_data_sets_get_a_status_and_the_next_instance_is_stored(receiver):
    statuses = set()

    @SLOW
    @given(st.sampled_from(SYNTAXES), DAMAGES)
    def run(syntax, damages):
        image = IMAGES[syntax]
        with Sender(receiver.port, [(US_IMAGE, str(syntax))]) as sender:
            content = _damaged(ENCODED[syntax], damages) or b"\0\0"
            status = sender.store_bytes(US_IMAGE, image.SOPInstanceUID, content)
            statuses.add(status)
            assert status in (0x0000, 0xA900, 0xC000)
            before = len(receiver.accepted)
            assert sender.store(image) == 0
            assert len(receiver.accepted) == before + 1

    run()
    assert 0xC000 in statuses


def test_damaged_requests_end_and_the_next_association_is_served(receiver):
    threads = threading.active_count()

    @SLOW
    @given(DAMAGES, DAMAGES)
    def run(in_request, in_message):
        image = IMAGES[ExplicitVRLittleEndian]
        message = p_data(3, store_command(image.SOPInstanceUID)) + p_data(2, ENCODED[ExplicitVRLittleEndian])
        with RawPeer(receiver.port) as peer:
            peer.send(_damaged(associate_request(), in_request))
            peer.send(_damaged(message, in_message))
        with RawPeer(receiver.port) as peer:
            if peer.associate() == 2:
                peer.send(_damaged(message, in_message))

    run()
    assert send(receiver.port, [IMAGES[ExplicitVRLittleEndian]]) == [0]
    assert wait_until(lambda: threading.active_count() <= threads + 2, 20)
