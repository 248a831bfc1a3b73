"""Logging, set up once, with the study on every line.

What may be logged: UIDs, counts, durations, states. Never names, patient IDs,
dates, accession numbers, or anything OCR has read.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

_study: contextvars.ContextVar[str] = contextvars.ContextVar("study", default="-")

# Libraries that log data sets, file names or SQL at levels below these.
_QUIET = {
    "pydicom": logging.CRITICAL,  # logs the traceback of every decoder that fails, as an error
    "pynetdicom": logging.CRITICAL,  # its errors quote messages; both rooms that use it say what failed
    "highdicom": logging.ERROR,
    "dbos": logging.ERROR,
    "sqlalchemy": logging.ERROR,
    "RapidOCR": logging.ERROR,
    "PIL": logging.ERROR,
    "py": logging.CRITICAL,  # py.warnings: pydicom's warnings quote values, and a value may be a name
}


class _StudyFilter(logging.Filter):
    """Adds the study, and drops what libraries must not say.

    At the handler, since some libraries set the level of their loggers anew when
    they are imported, and a record of `pynetdicom.acse` passes no filter of `pynetdicom`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.study = _study.get()
        return record.levelno >= _QUIET.get(record.name.partition(".")[0], logging.NOTSET)


def set_up_logging(level: str) -> None:
    """Send log lines of the node to standard error; call once, at a door."""
    handler = logging.StreamHandler()
    handler.addFilter(_StudyFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s study=%(study)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("cad_node").setLevel(level)
    quiet_libraries()


def quiet_libraries() -> None:
    """Keep patient data, which some libraries log in their warnings, out of the log."""
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)


@contextlib.contextmanager
def study_context(study_instance_uid: str) -> Iterator[None]:
    """Put the study on every line logged inside."""
    token = _study.set(study_instance_uid)
    try:
        yield
    finally:
        _study.reset(token)
