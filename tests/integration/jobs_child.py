"""A node without its door and its networks: the real engine, journal and couriers, a fake analysis.

`python -m tests.integration.jobs_child node.toml SECONDS [MODEL]` processes a study in
SECONDS, as by that model, says `ready` once it works, and ends on SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from cad_node.deliver import make_destination
from cad_node.domain import MadeBy
from cad_node.jobs.engine import JobEngine
from cad_node.settings import load_settings
from cad_node.store.journal import Journal
from cad_node.store.results import ResultStore
from tests.unit.jobs.stubs import made_by, processing


def main() -> int:
    settings = load_settings(Path(sys.argv[1]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    journal = Journal.open(settings)
    results = ResultStore(settings.data_dir / "results")

    def has_files(study: str, revision: str) -> None:
        if not journal.files_of(study, revision):
            raise LookupError(study)

    made = made_by(sys.argv[3]) if len(sys.argv) > 3 else MadeBy()
    engine = JobEngine(
        settings,
        journal,
        results,
        processing(results, float(sys.argv[2]), before=has_files, made=made),
        {item.name: make_destination(item) for item in settings.destinations},
        digest=made.digest,
    )
    engine.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    stop.wait()
    clean = engine.stop(timeout_s=20)
    journal.close()
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
