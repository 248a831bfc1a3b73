"""Real peers for the integration tests: a PACS (Orthanc) and a PostgreSQL server.

Each is started on free ports with its own empty storage and stopped afterwards.
A machine without them skips the tests and says what to install.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority

_PLUGINS = Path("/usr/share/orthanc/plugins")


def find_free_port() -> int:
    """A TCP port on loopback that nobody listens on, for a peer that is about to.

    Below those that the system hands out: until the peer listens, no outgoing connection
    and no server on port 0, of whatever other test, can take it.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_768)  # a generator that no test seeds
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Call it for a TCP port on loopback that nobody listens on."""
    return find_free_port


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that is made anew in each run."""
    return Authority(tmp_path_factory.mktemp("certificates"))


class Orthanc:
    """A PACS of our own; `stop()` and `start()` keep its ports and what it holds."""

    ae_title = "TESTPACS"
    host = "127.0.0.1"

    def __init__(self, folder: Path, **configuration: Any) -> None:
        self.folder = folder
        self.dicom_port = find_free_port()
        self.http_port = find_free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.dicomweb_url = f"{self.url}/dicom-web"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        plugins = [_PLUGINS / "libOrthancDicomWeb.so", _PLUGINS / "libOrthancGdcm.so"]
        self._configuration = folder / "orthanc.json"
        self._configuration.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "storage"),
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "HttpPort": self.http_port,
                    "DicomPort": self.dicom_port,
                    "DicomAet": self.ae_title,
                    "DicomCheckCalledAet": True,
                    "DicomAlwaysAllowStore": True,
                    "UnknownSopClassAccepted": True,
                    "OverwriteInstances": True,
                    "StableAge": 2,
                    "Plugins": [str(plugin) for plugin in plugins if plugin.exists()],
                    "DicomWeb": {
                        "Enable": True,
                        "Root": "/dicom-web/",
                        "StudiesMetadata": "Full",
                        "SeriesMetadata": "Full",
                    },
                    **configuration,
                }
            )
        )

    def start(self) -> None:
        """Start it and wait until it answers over HTTP and DICOM."""
        log = (self.folder / "orthanc.log").open("ab")
        # Without TCP_NODELAY its DICOM server answers 40 ms late: Nagle against delayed ACK.
        environment = os.environ | {"TCP_NODELAY": "1"}
        self._process = subprocess.Popen(
            ["Orthanc", "--verbose", str(self._configuration)], stdout=log, stderr=log, env=environment
        )
        log.close()
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                self.get("/system")
                socket.create_connection((self.host, self.dicom_port), timeout=5).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "orthanc.log").read_text(errors="replace")[-2000:])
            time.sleep(0.1)

    def stop(self, *, clean: bool = True) -> None:
        """Stop it; harmless when it does not run."""
        if self._process is not None:
            if clean:
                self._process.terminate()
            else:
                self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    def get(self, path: str) -> Any:
        """The JSON answer of its REST interface, for example `get("/studies")`."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def file(self, identifier: str) -> bytes:
        """The Part 10 file of an instance, by Orthanc's identifier."""
        with urllib.request.urlopen(f"{self.url}/instances/{identifier}/file", timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def instances(self) -> dict[str, str]:
        """SOP Instance UID and Orthanc's identifier of everything it holds."""
        found = self.get("/instances?expand")
        return {entry["MainDicomTags"]["SOPInstanceUID"]: entry["ID"] for entry in found}

    def stores(self) -> int:
        """How many instances it stored since the first start, overwriting counted."""
        return (self.folder / "orthanc.log").read_text(errors="replace").count("New instance stored")


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """A running, empty Orthanc with DICOMweb; its AE title is TESTPACS."""
    if shutil.which("Orthanc") is None:
        pytest.skip("needs Debian's orthanc and orthanc-dicomweb")
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    try:
        yield server
    finally:
        server.stop(clean=False)  # a clean stop takes seconds, and its storage is thrown away


def _postgres_binary(name: str) -> str | None:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(versions[-1]) if versions else None


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    """A throw-away cluster; yields the start of a URL, up to the database name."""
    initdb, server = _postgres_binary("initdb"), _postgres_binary("postgres")
    if initdb is None or server is None:
        pytest.skip("needs Debian's postgresql")
    # The server refuses to run as root, and its user cannot enter root's temporary folders.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="cadnode-postgres-"))
    process = None
    try:
        if as_user:
            shutil.chown(folder, "postgres", "postgres")
        subprocess.run(
            [*as_user, initdb, "-D", folder / "cluster", "-U", "cadnode", "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        port = find_free_port()
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            [*as_user, server, "-D", folder / "cluster", "-p", str(port), "-k", folder, "-h", "127.0.0.1"],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        log.close()
        base = f"postgresql://cadnode@127.0.0.1:{port}"
        _wait_for_postgres(f"{base}/postgres", process, folder / "log")
        yield base
    finally:
        if process is not None:
            pid_file = folder / "cluster" / "postmaster.pid"
            with suppress(OSError, ValueError):
                os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)  # fast shutdown
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_postgres(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:]) from None
            time.sleep(0.1)


@pytest.fixture
def postgres_url(_postgres_server: str) -> Iterator[str]:
    """An empty database of its own on a real PostgreSQL server."""
    import psycopg

    name = f"test_{time.time_ns()}"
    with psycopg.connect(f"{_postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield f"{_postgres_server}/{name}"
    with psycopg.connect(f"{_postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
