"""The demo's scanner: a C-STORE SCU of its own, run as a separate process.

`python -m cad_node.demo.send HOST PORT AE_TITLE FILE…`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE

CALLING_AE_TITLE = "DEMOSCANNER"


def send(host: str, port: int, ae_title: str, paths: Sequence[Path]) -> int:
    """Send the files in one association; returns how many were not accepted."""
    scanner = AE(CALLING_AE_TITLE)
    scanner.acse_timeout = scanner.dimse_timeout = scanner.network_timeout = 30
    datasets = [dcmread(path) for path in paths]
    for sop_class, transfer_syntax in {
        (str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)) for dataset in datasets
    }:
        scanner.add_requested_context(sop_class, transfer_syntax)
    association = scanner.associate(host, port, ae_title=ae_title)
    if not association.is_established:
        return len(datasets)
    refused = 0
    for dataset in datasets:
        status = association.send_c_store(dataset)
        refused += "Status" not in status or status.Status != 0x0000
    association.release()
    return refused


if __name__ == "__main__":
    sys.exit(min(send(sys.argv[1], int(sys.argv[2]), sys.argv[3], [Path(a) for a in sys.argv[4:]]), 100))
