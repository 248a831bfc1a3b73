"""Real senders: DCMTK's echoscu, storescu and dcmsend."""

import os
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cad_node.domain import StoredInstance
from cad_node.read import scan_files
from cad_node.receive.contexts import STORAGE_CLASSES, VIDEO_SYNTAXES
from cad_node.store.inbox import Inbox
from tests.factories import us_cine, us_image, us_study, write
from tests.receiving import Receiver, wait_until, without_meta

pytestmark = [
    pytest.mark.dcmtk,
    pytest.mark.skipif(shutil.which("storescu") is None, reason="needs Debian's dcmtk"),
]


def _run(*command) -> subprocess.CompletedProcess:
    environment = os.environ | {"TCP_NODELAY": "1"}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


def _storescu(receiver, *arguments):
    return _run("storescu", "-aet", "SCANNER", "-aec", "CADNODE", "127.0.0.1", receiver.port, *arguments)


def test_echoscu_is_answered(receiver):
    answer = _run("echoscu", "-v", "-aet", "SCANNER", "-aec", "CADNODE", "127.0.0.1", receiver.port)

    assert answer.returncode == 0
    assert "Success" in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("called", "calling", "reason"),
    [
        ("WRONG", "SCANNER", "Called AE Title Not Recognized"),
        ("CADNODE", "STRANGER", "Calling AE Title Not Recognized"),
    ],
)
def test_wrong_ae_titles_are_told_to_the_sender(called, calling, reason):
    with Receiver(calling_ae_titles=("SCANNER",)) as receiver:
        answer = _run("echoscu", "-aet", calling, "-aec", called, "127.0.0.1", receiver.port)

    assert answer.returncode != 0
    assert reason in answer.stdout + answer.stderr


# How storescu is told to propose each transfer syntax.
_PROPOSALS = {
    ExplicitVRLittleEndian: "-xe",
    ExplicitVRBigEndian: "-xb",
    ImplicitVRLittleEndian: "-xi",
    DeflatedExplicitVRLittleEndian: "-xd",
    JPEGLosslessSV1: "-xs",
    JPEGBaseline8Bit: "-xy",
    JPEGExtended12Bit: "-xx",
    JPEG2000Lossless: "-xv",
    JPEG2000: "-xw",
    JPEGLSLossless: "-xt",
    JPEGLSNearLossless: "-xu",
    RLELossless: "-xr",
    "1.2.840.10008.1.2.4.100": "-xm",
    "1.2.840.10008.1.2.4.101": "-xh",
    "1.2.840.10008.1.2.4.102": "-xn",
    "1.2.840.10008.1.2.4.103": "-xl",
    "1.2.840.10008.1.2.4.104": "-x2",
    "1.2.840.10008.1.2.4.105": "-x3",
    "1.2.840.10008.1.2.4.106": "-xo",
    "1.2.840.10008.1.2.4.107": "-x4",
    "1.2.840.10008.1.2.4.108": "-x5",
}
_TRANSCODERS = {
    JPEGBaseline8Bit: ("dcmcjpeg", "+eb"),
    JPEGExtended12Bit: ("dcmcjpeg", "+ee"),
    JPEGLossless: ("dcmcjpeg", "+el"),
    JPEGLosslessSV1: ("dcmcjpeg", "+e1"),
    JPEGLSLossless: ("dcmcjpls", "+el"),
    JPEGLSNearLossless: ("dcmcjpls", "+en"),
    RLELossless: ("dcmcrle",),
}


def _file_in(syntax, folder):
    """A Part 10 file in a transfer syntax, made by DCMTK where it can, else by pydicom."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax in _TRANSCODERS:
            plain = write(us_image(rows=64, columns=96), folder / "plain")
            tool, *options = _TRANSCODERS[syntax]
            target = folder / "transcoded.dcm"
            answer = _run(tool, *options, plain, target)
            assert answer.returncode == 0, answer.stderr
            assert dcmread(target, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
            return target
        if str(syntax) in VIDEO_SYNTAXES:
            image = us_cine(frames=2, rows=64, columns=64, transfer_syntax=JPEGBaseline8Bit)
            image.file_meta.TransferSyntaxUID = syntax  # nobody here looks into the stream
            return write(image, folder)
        return write(us_image(rows=64, columns=96, transfer_syntax=syntax), folder)


@pytest.mark.parametrize("syntax", _PROPOSALS, ids=str)
def test_storescu_sends_in_every_transfer_syntax_it_knows(receiver, tmp_path, syntax):
    path = _file_in(syntax, tmp_path)

    answer = _storescu(receiver, _PROPOSALS[syntax], "-R", path)

    assert answer.returncode == 0, answer.stderr
    assert [received.transfer_syntax_uid for received in receiver.accepted] == [str(syntax)]
    # DCMTK encodes native data sets anew; what is compressed goes out as it lies in the file.
    if str(syntax).startswith("1.2.840.10008.1.2.4.9"):
        assert without_meta(receiver.accepted[0].part10) == without_meta(path.read_bytes())


@pytest.mark.parametrize("sop_class", STORAGE_CLASSES)
def test_storescu_sends_every_class(receiver, tmp_path, sop_class):
    image = us_image(rows=32, columns=32, attributes={"SOPClassUID": sop_class})
    image.file_meta.MediaStorageSOPClassUID = sop_class

    answer = _storescu(receiver, "-R", write(image, tmp_path))

    assert answer.returncode == 0, answer.stderr
    assert receiver.accepted[0].sop_class_uid == sop_class


def test_dcmsend_sends_several_studies_and_all_lie_in_the_inbox(tmp_path):
    images = [
        *us_study(images=4, rows=64, columns=64),
        *us_study(images=3, rows=64, columns=64, transfer_syntax=JPEGBaseline8Bit),
        *us_study(images=2, cine_frames=3, rows=64, columns=64),
    ]
    for image in images:
        write(image, tmp_path / "sent")
    journal = []
    inbox = Inbox(tmp_path / "inbox", lambda stored: journal.append(stored) or True, 0)
    with Receiver(spill_folder=inbox.incoming) as receiver:
        receiver.scp._accept = inbox.accept
        answer = _run(
            "dcmsend", "-aec", "CADNODE", "--scan-directories", "127.0.0.1", receiver.port, tmp_path / "sent"
        )

    assert answer.returncode == 0, answer.stderr
    assert {stored.sop_instance_uid for stored in journal} == {image.SOPInstanceUID for image in images}
    assert len({stored.study_instance_uid for stored in journal}) == 3
    for stored in journal:
        file = dcmread(inbox.root / stored.path)
        assert file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID == stored.sop_instance_uid
        assert file.pixel_array.any()


def test_several_associations_at_once_lose_nothing(receiver, tmp_path):
    studies = [us_study(images=5, rows=128, columns=128) for _ in range(4)]
    senders = []
    for number, study in enumerate(studies):
        for image in study:
            write(image, tmp_path / str(number))
        command = [
            "storescu",
            "-aec",
            "CADNODE",
            "+sd",
            "127.0.0.1",
            str(receiver.port),
            tmp_path / str(number),
        ]
        senders.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    assert [sender.wait(60) for sender in senders] == [0] * 4
    assert {received.sop_instance_uid for received in receiver.accepted} == {
        image.SOPInstanceUID for study in studies for image in study
    }


def test_a_full_spool_reaches_the_sender_as_out_of_resources(receiver, tmp_path):
    receiver.room = False

    answer = _storescu(receiver, "-v", "-R", write(us_image(rows=64, columns=64), tmp_path))

    assert "OutOfResources" in answer.stdout + answer.stderr


def test_a_sender_that_is_cut_off_in_the_middle_leaves_nothing_and_disturbs_nobody(tmp_path):
    large = write(us_cine(pixels=np.zeros((120, 600, 800), np.uint8)), tmp_path / "large")
    inbox = Inbox(tmp_path / "inbox", lambda _: True, 0)
    with Receiver(spill_folder=inbox.incoming) as receiver:
        receiver.scp._accept = inbox.accept
        sender = subprocess.Popen(
            ["storescu", "-R", "-aec", "CADNODE", "127.0.0.1", str(receiver.port), str(large)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert wait_until(lambda: any(inbox.incoming.iterdir()))
        sender.kill()
        sender.wait()
        assert wait_until(lambda: not any(inbox.incoming.iterdir()))
        small = write(us_image(rows=64, columns=64), tmp_path / "small")
        assert _storescu(receiver, "-R", small).returncode == 0

    assert len(list((inbox.root / "studies").rglob("*.dcm"))) == 1


# Leading zeros, a root above 2, no dot at all: none by PS3.5 section 9.1.
@pytest.mark.parametrize("uid", ["1.2.840.0113619.2.05", "3.2.840.1", "02.25.123", "1234567"])
def test_a_uid_against_the_rules_is_stored_as_the_archive_run_reads_it(receiver, tmp_path, uid):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = us_image(
            study_instance_uid=uid, series_instance_uid=f"{uid}.1", sop_instance_uid=f"{uid}.1.01"
        )
        path = write(image, tmp_path)

    sent = _storescu(receiver, path)

    assert sent.returncode == 0, sent.stderr
    (instance,) = receiver.accepted
    stored: list[StoredInstance] = []
    Inbox(tmp_path / "inbox", stored.append, 0).accept(instance)
    assert str(stored[0].path) == f"studies/{uid}/{uid}.1/{uid}.1.01.dcm"
    assert (instance.study_instance_uid, instance.sop_instance_uid) == (uid, f"{uid}.1.01")
    assert list(scan_files([tmp_path]).studies) == [instance.study_instance_uid]
