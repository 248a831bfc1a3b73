"""What was answered with success is on the disk, however the node ends."""

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cad_node.store.inbox import Inbox
from tests.factories import us_image
from tests.receiving import EXPLICIT, US_IMAGE, Sender, dataset_bytes, without_meta

_NODE = """
import sys, time
from pathlib import Path
from cad_node.receive.scp import StorageScp
from cad_node.settings import ReceiveSettings
from cad_node.store.inbox import Inbox

inbox = Inbox(Path(sys.argv[1]), lambda _: True, 0)
with StorageScp(ReceiveSettings(), inbox.accept, inbox.has_room, port=0, spill_folder=inbox.incoming) as scp:
    print(scp.port, flush=True)
    time.sleep(600)
"""


class _Sending(threading.Thread):
    """Sends one new instance after the other until the node is gone; keeps what was answered."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__()
        self._port = port
        self._number = number
        self.answered: dict[str, str] = {}

    def run(self) -> None:
        template = us_image(rows=400, columns=500, seed=self._number)
        try:
            with Sender(self._port, [(US_IMAGE, EXPLICIT)]) as sender:
                for count in range(10_000):
                    template.SOPInstanceUID = f"1.2.{self._number}.{count}"
                    content = dataset_bytes(template)
                    if sender.store_bytes(US_IMAGE, template.SOPInstanceUID, content) != 0:
                        return
                    self.answered[template.SOPInstanceUID] = hashlib.sha256(content).hexdigest()
        except OSError:
            return


@pytest.mark.parametrize("seconds", [0.4, 0.9, 1.5])
def test_after_kill_9_every_answered_instance_is_whole_on_the_disk(tmp_path: Path, seconds: float):
    root = tmp_path / "inbox"
    node = subprocess.Popen([sys.executable, "-c", _NODE, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        port = int(node.stdout.readline())
        senders = [_Sending(port, number) for number in range(1, 4)]
        for sender in senders:
            sender.start()
        deadline = time.monotonic() + 60
        while not all(sender.answered for sender in senders) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        node.kill()
        node.wait()
        node.stdout.close()
    for sender in senders:
        sender.join(60)

    recorded = []
    inbox = Inbox(root, lambda stored: recorded.append(stored) or True, 0)
    inbox.rescan()
    answered = {uid: digest for sender in senders for uid, digest in sender.answered.items()}
    on_disk = {
        stored.sop_instance_uid: hashlib.sha256(without_meta((root / stored.path).read_bytes())).hexdigest()
        for stored in recorded
    }
    assert answered
    assert answered.items() <= on_disk.items()
    # Not answered, but there: at most the one that each sender was waiting for.
    assert len(on_disk) - len(answered) <= len(senders)
    assert not any(inbox.incoming.iterdir())
