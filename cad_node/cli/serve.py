"""`cad-node serve`: receive, analyse and answer until told to stop."""

from __future__ import annotations

import signal
import threading

from cad_node.cli.options import Config
from cad_node.logs import set_up_logging
from cad_node.settings import load_settings


def serve(config: Config = None) -> None:
    """Run the node: receive studies by C-STORE and send SEG and SR to the destinations.

    Ends cleanly on Ctrl-C or SIGTERM; unfinished studies go on at the next start.
    """
    from cad_node.node import Node

    settings = load_settings(config)
    set_up_logging(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    node = Node(settings)
    try:
        node.start()
        stop.wait()
    finally:
        node.stop()
