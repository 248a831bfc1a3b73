import logging
import socket
import threading

import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from cad_node.errors import InboxFullError, JobError, SettingsError
from cad_node.receive import incoming
from cad_node.receive.scp import StorageScp
from cad_node.settings import ReceiveSettings
from tests.factories import us_image, us_study
from tests.receiving import (
    EXPLICIT,
    US_IMAGE,
    VERIFICATION,
    Receiver,
    Sender,
    dataset_bytes,
    p_data,
    send,
    store_command,
    wait_until,
    without_meta,
)

SMALL = {"rows": 32, "columns": 48}


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


def test_an_echo_is_answered(receiver):
    with Sender(receiver.port) as sender:
        assert sender.echo() == 0


def test_the_bytes_are_handed_on_exactly_as_received(receiver):
    image = us_image(**SMALL)

    assert send(receiver.port, [image]) == [0]

    received = receiver.accepted[0]
    assert without_meta(received.part10) == dataset_bytes(image)
    assert received.study_instance_uid == image.StudyInstanceUID
    assert received.series_instance_uid == image.SeriesInstanceUID
    assert received.sop_instance_uid == image.SOPInstanceUID
    assert received.sop_class_uid == US_IMAGE
    assert received.transfer_syntax_uid == EXPLICIT
    assert received.calling_ae_title == "SCANNER"


def test_several_studies_come_in_one_association(receiver):
    images = [*us_study(images=3, **SMALL), *us_study(images=2, **SMALL)]

    assert send(receiver.port, images) == [0] * 5
    assert len({received.study_instance_uid for received in receiver.accepted}) == 2


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3"])
def test_retired_ultrasound_classes_are_taken(receiver, sop_class):
    image = us_image(**SMALL, attributes={"SOPClassUID": sop_class})
    image.file_meta.MediaStorageSOPClassUID = sop_class

    assert send(receiver.port, [image]) == [0]


def test_other_classes_are_rejected_but_the_association_stands(receiver):
    contexts = [("1.2.840.10008.5.1.4.1.1.2", EXPLICIT), (US_IMAGE, EXPLICIT)]

    with Sender(receiver.port, contexts) as sender:
        assert sender.established
        assert sender.results == [3, 0]  # abstract syntax not supported, acceptance


def test_a_wrong_called_ae_title_is_rejected(receiver, caplog):
    with Sender(receiver.port, called="OTHER") as sender:
        assert sender.rejection == (1, 1, 7)

    assert "which calls 'OTHER', rejected: that called AE title is not receive.ae_title" in caplog.text


def test_an_unknown_calling_ae_title_is_rejected(caplog):
    with Receiver(calling_ae_titles=("SCANNER", "OTHER")) as receiver:
        with Sender(receiver.port, calling="NOBODY") as sender:
            assert sender.rejection == (1, 1, 3)
        assert (
            "Association of 'NOBODY' at 127.0.0.1, which calls 'CADNODE', rejected: its AE title"
            in caplog.text
        )
        with Sender(receiver.port, calling="OTHER") as sender:
            assert sender.established


def test_one_association_too_many_is_rejected_for_now(caplog):
    with Receiver(maximum_associations=1) as receiver:
        with Sender(receiver.port) as first:
            assert first.established
            with Sender(receiver.port) as second:
                assert second.rejection == (2, 3, 2)
            assert "maximum_associations are open already" in caplog.text
            assert first.echo() == 0
        assert wait_until(lambda: send(receiver.port, [us_image(**SMALL)]) == [0])


def test_nobody_may_send_from_the_network_when_nobody_is_named():
    with pytest.raises(SettingsError, match="calling_ae_titles"):
        StorageScp(ReceiveSettings(host="0.0.0.0"), lambda _: None, lambda _: True)


def test_a_port_in_use_is_a_settings_error(receiver):
    second = StorageScp(ReceiveSettings(), lambda _: None, lambda _: True, port=receiver.port)

    with pytest.raises(SettingsError, match="Cannot listen"):
        second.start()


def test_a_full_spool_is_answered_by_out_of_resources_and_echo_still_works(receiver):
    receiver.room = False

    assert send(receiver.port, [us_image(**SMALL), us_image(**SMALL)]) == [0xA700, 0xA700]
    with Sender(receiver.port) as sender:
        assert sender.echo() == 0
    receiver.room = True
    assert send(receiver.port, [us_image(**SMALL)]) == [0]
    assert len(receiver.accepted) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InboxFullError("full"), 0xA700),
        (JobError("journal"), 0x0110),
        (RuntimeError("DOE^JANE"), 0x0110),
    ],
)
def test_what_accept_raises_becomes_a_status(receiver, error, status):
    receiver.error = error

    assert send(receiver.port, [us_image(**SMALL)]) == [status]
    receiver.error = None
    assert send(receiver.port, [us_image(**SMALL)]) == [0]


def test_no_word_of_the_data_set_is_logged(receiver, caplog):
    receiver.error = RuntimeError("DOE^JANE")
    with caplog.at_level(logging.DEBUG, logger="cad_node"):
        send(receiver.port, [us_image(**SMALL, patient_name="ROE^RICHARD")])

    assert "RuntimeError" in caplog.text
    assert "DOE" not in caplog.text
    assert "ROE" not in caplog.text


def _send_as(receiver, announced, image, syntax=EXPLICIT):
    """Announce one image and send the bytes of another."""
    with Sender(receiver.port, [(US_IMAGE, syntax)]) as sender:
        return sender.store_bytes(announced.SOPClassUID, announced.SOPInstanceUID, dataset_bytes(image))


def test_a_data_set_of_another_instance_is_a_mismatch(receiver):
    assert _send_as(receiver, us_image(**SMALL), us_image(**SMALL)) == 0xA900


def test_a_data_set_of_another_class_is_a_mismatch(receiver):
    image = us_image(**SMALL)
    other = us_image(
        **SMALL,
        sop_instance_uid=image.SOPInstanceUID,
        attributes={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    )

    assert _send_as(receiver, image, other) == 0xA900


def test_a_class_other_than_that_of_its_context_is_refused(receiver):
    image = us_image(**SMALL, attributes={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"})

    assert _send_as(receiver, image, image) == 0x0122


def test_an_encoding_other_than_the_negotiated_one_is_not_understood(receiver):
    image = us_image(**SMALL, transfer_syntax=ExplicitVRBigEndian)

    assert _send_as(receiver, image, image, ImplicitVRLittleEndian) == 0xC000


@pytest.mark.parametrize("uid", ["1..3", "../../etc/passwd", "1/2"])
def test_an_instance_without_a_valid_uid_is_not_understood(receiver, uid):
    with Sender(receiver.port) as sender:
        assert sender.store_bytes(US_IMAGE, uid, dataset_bytes(us_image(**SMALL))) == 0xC000
    assert receiver.accepted == []


def test_a_truncated_data_set_is_not_understood_and_the_next_one_is_stored(receiver):
    image = us_image(**SMALL)
    with Sender(receiver.port) as sender:
        assert sender.store_bytes(US_IMAGE, image.SOPInstanceUID, dataset_bytes(image)[:-100]) == 0xC000
        assert sender.store(image) == 0


def test_a_large_instance_comes_as_a_file_that_is_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr(incoming, "_IN_MEMORY_BYTES", 100_000)
    image = us_image(rows=512, columns=512)
    with Receiver(spill_folder=tmp_path) as receiver:
        kept = []
        receiver.scp._accept = lambda received: kept.append(received.part10.read_bytes())
        assert send(receiver.port, [image]) == [0]

    assert without_meta(kept[0]) == dataset_bytes(image)
    assert list(tmp_path.iterdir()) == []


def test_stopping_ends_open_associations_and_it_can_start_again(receiver):
    with Sender(receiver.port) as sender:
        receiver.scp.stop()
        assert sender.closed_within(5)
    receiver.scp.start()
    with Sender(receiver.port) as sender:
        assert sender.echo() == 0


def test_no_thread_is_left_when_all_is_over():
    before = threading.active_count()
    with Receiver() as receiver:
        for _ in range(3):
            send(receiver.port, [us_image(**SMALL)])
        assert wait_until(lambda: not receiver.scp._server.associations)
    assert wait_until(lambda: threading.active_count() <= before)


def test_it_listens_on_ipv6_too():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with Receiver(host="::1") as receiver, Sender(receiver.port, host="::1") as sender:
        assert sender.echo() == 0


def test_a_sender_with_small_pdus_is_answered_in_pieces(receiver):
    with Sender(receiver.port, maximum_pdu=64) as sender:
        kinds = []
        sender.send(p_data(3, store_command("", VERIFICATION, 0x30, 0x0101), 3))
        while not kinds or kinds[-1][1][5] & 2 == 0:
            kinds.append(sender.receive_pdu())
    assert len(kinds) > 1
    assert all(kind == 4 and len(body) <= 64 for kind, body in kinds)
