"""Instances a second that the receiver takes, beside DCMTK's storescp in the same run.

The ratio is what counts: the machine and its load are the same for both. The
node answers only when an instance would survive a power cut; storescp answers
when it has handed the bytes to the operating system.

    python benchmarks/receive.py [--instances 200] [--associations 1]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

_US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
# As DCMTK's servers need to be told, or Nagle's algorithm holds each answer back for 40 ms.
_ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}


def write_study(folder: Path, count: int, *, compressed: bool) -> None:
    """Write instances of 1.44 MB, or of 126 kB that look compressed."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, 126_000, dtype=np.uint8).tobytes()
    study, series = generate_uid(), generate_uid()
    for number in range(count):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if compressed else ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = _US_IMAGE
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.PatientName, image.PatientID, image.InstanceNumber = "Test^Bench", "BENCH", str(number)
        image.Rows, image.Columns, image.SamplesPerPixel = 900, 1600, 1
        image.BitsAllocated = image.BitsStored = 8
        image.HighBit, image.PixelRepresentation = 7, 0
        image.PhotometricInterpretation = "MONOCHROME2"
        image.PixelData = encapsulate([noise]) if compressed else (noise * 12)[: 900 * 1600]
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = compressed
        image.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("The receiver did not start.")


def _run_node(folder: str, port: int) -> None:
    from cad_node.receive.scp import StorageScp
    from cad_node.settings import ReceiveSettings
    from cad_node.store.inbox import Inbox

    inbox = Inbox(Path(folder), lambda _: True, 0)
    scp = StorageScp(ReceiveSettings(), inbox.accept, inbox.has_room, port=port, spill_folder=inbox.incoming)
    with scp:
        time.sleep(3600)


def node(folder: Path, port: int) -> Callable[[], None]:
    """Start the node's receiver in a process of its own; returns how to end it."""
    process = multiprocessing.get_context("spawn").Process(target=_run_node, args=(str(folder), port))
    process.start()

    def stop() -> None:
        process.kill()
        process.join()

    return stop


def storescp(folder: Path, port: int) -> Callable[[], None]:
    """Start DCMTK's receiver with large PDUs; returns how to end it."""
    folder.mkdir(parents=True)
    command = ["storescp", "--max-pdu", "131072", "--accept-all", "--fork", "-od", str(folder), str(port)]
    process = subprocess.Popen(command, env=_ENVIRONMENT, stdout=subprocess.DEVNULL)

    def stop() -> None:
        process.kill()
        process.wait()

    return stop


def rate(studies: list[Path], port: int, *, compressed: bool) -> float:
    """Instances a second that one sender for each study brings in together."""
    proposal = ["--propose-jpeg8"] if compressed else []
    command = ["storescu", "--max-pdu", "131072", *proposal, "-aec", "CADNODE", "--scan-directories"]
    began = time.monotonic()
    senders = [
        subprocess.Popen(
            [*command, "127.0.0.1", str(port), str(study)], env=_ENVIRONMENT, stdout=subprocess.DEVNULL
        )
        for study in studies
    ]
    if any([sender.wait() for sender in senders]):
        raise SystemExit("A sender failed.")
    seconds = time.monotonic() - began
    return sum(len(list(study.iterdir())) for study in studies) / seconds


def main() -> None:
    """Print one line for each kind of instance."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--instances", type=int, default=200)
    options.add_argument("--associations", type=int, default=1)
    arguments = options.parse_args()
    if shutil.which("storescp") is None:
        sys.exit("Needs DCMTK.")
    print("instance      storescp/s   node/s   node : storescp")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        for name, compressed in (("raw 1.44 MB", False), ("jpeg 126 kB", True)):
            studies = [Path(scratch) / f"study-{compressed}-{n}" for n in range(arguments.associations)]
            for study in studies:
                write_study(study, arguments.instances, compressed=compressed)
            rates = []
            for receiver in (storescp, node):
                port = _free_port()
                stop = receiver(Path(scratch) / f"{receiver.__name__}-{compressed}", port)
                try:
                    _wait_for(port)
                    rates.append(rate(studies, port, compressed=compressed))
                finally:
                    stop()
            print(f"{name:12} {rates[0]:11.0f} {rates[1]:8.0f} {rates[1] / rates[0]:12.2f}")


if __name__ == "__main__":
    main()
