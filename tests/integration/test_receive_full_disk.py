"""A spool on a real, small file system that fills up."""

import copy
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from cad_node.store.inbox import Inbox
from tests.factories import us_cine, us_image
from tests.receiving import Receiver, send

_SIZE_BYTES = 24_000_000


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _files(inbox: Inbox) -> list[Path]:
    return [path for path in inbox.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("reserve_bytes", [0, 4_000_000])
def test_a_full_disk_is_answered_and_nothing_half_written_stays(small_disk, reserve_bytes):
    journal = []
    inbox = Inbox(small_disk / "inbox", lambda stored: journal.append(stored) or True, reserve_bytes)
    image = us_image(rows=1000, columns=1500)
    images = [copy.deepcopy(image) for _ in range(20)]
    for one in images:
        one.SOPInstanceUID = generate_uid()
    with Receiver(spill_folder=inbox.incoming) as receiver:
        receiver.scp._accept = inbox.accept
        receiver.scp._has_room = inbox.has_room if reserve_bytes else lambda _: True
        statuses = send(receiver.port, images)

        assert set(statuses) == {0x0000, 0xA700}
        stored = statuses.count(0)
        assert len(journal) == stored
        assert sorted(_files(inbox)) == sorted(inbox.root / one.path for one in journal)
        assert all((inbox.root / one.path).stat().st_size == one.size_bytes for one in journal)

        # Room again: what was refused is taken when it is sent again.
        for path in _files(inbox)[:3]:
            path.unlink()
        refused = images[statuses.index(0xA700)]
        assert send(receiver.port, [refused]) == [0]


def test_a_cine_loop_that_fills_the_disk_while_it_comes_in_is_refused(small_disk):
    inbox = Inbox(small_disk / "inbox", lambda _: True, 0)
    cine = us_cine(pixels=np.zeros((40, 800, 1000), np.uint8))
    small = us_image(rows=100, columns=100)
    with Receiver(spill_folder=inbox.incoming) as receiver:
        receiver.scp._accept = inbox.accept

        assert send(receiver.port, [cine]) == [0xA700]
        assert _files(inbox) == []
        assert send(receiver.port, [small]) == [0]
