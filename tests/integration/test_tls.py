"""DICOM TLS with real peers: DCMTK sends and receives, Orthanc receives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from cad_node.deliver import CStoreDestination
from cad_node.errors import DestinationUnreachableError
from cad_node.settings import CStoreDestinationSettings
from tests.certificates import Authority, Pair
from tests.factories import us_cine, us_image, write
from tests.peers import Orthanc
from tests.receiving import RawPeer, Receiver, wait_until, without_meta
from tests.unit.jobs.stubs import write_results

needs_dcmtk = [
    pytest.mark.dcmtk,
    pytest.mark.skipif(shutil.which("storescu") is None, reason="needs Debian's dcmtk"),
]
STUDY = "1.2.826.0.1.77"


@pytest.fixture
def scanner(authority: Authority) -> Pair:
    return authority.issue("scanner", "scanner")


@pytest.fixture
def receiver(authority: Authority) -> Iterator[Receiver]:
    """A port that lets in who has a certificate of the authority."""
    with Receiver(pair=authority.issue(), tls_client_ca=authority.file) as running:
        yield running


def storescu(receiver: Receiver, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["storescu", "-aet", "SCANNER", "-aec", "CADNODE", *arguments]
    return subprocess.run(
        [str(part) for part in (*command[:5], "127.0.0.1", receiver.port, *command[5:])],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"TCP_NODELAY": "1"},
        check=False,
    )


def over_tls(pair: Pair, ca: Authority) -> list[object]:
    return ["+tls", pair.key, pair.certificate, "+cf", ca.file]


class TestDcmtkSends:
    pytestmark = needs_dcmtk

    @pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
    def test_instances_arrive_as_they_were_sent(
        self, receiver: Receiver, authority: Authority, scanner: Pair, tmp_path: Path, profile: str
    ) -> None:
        paths = [write(us_image(), tmp_path / "image.dcm"), write(us_cine(frames=4), tmp_path / "loop.dcm")]

        answer = storescu(receiver, *over_tls(scanner, authority), profile, *paths)

        assert answer.returncode == 0, answer.stderr
        sent = [without_meta(path.read_bytes()) for path in paths]
        assert [without_meta(one.part10) for one in receiver.accepted] == sent

    def test_a_sender_without_a_certificate_is_refused(
        self, receiver: Receiver, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = storescu(receiver, "+tla", "+cf", authority.file, write(us_image(), tmp_path / "image.dcm"))

        assert answer.returncode != 0
        assert receiver.accepted == []
        assert wait_until(lambda: "it showed no certificate" in caplog.text)

    def test_a_sender_with_a_certificate_of_another_ca_is_refused(
        self, receiver: Receiver, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        stranger = Authority(tmp_path, "other").issue("stranger", "scanner")

        answer = storescu(receiver, *over_tls(stranger, authority), write(us_image(), tmp_path / "image.dcm"))

        assert answer.returncode != 0
        assert receiver.accepted == []
        assert wait_until(lambda: "its certificate is refused" in caplog.text)

    def test_a_sender_that_does_not_trust_the_node_sends_nothing(
        self, receiver: Receiver, scanner: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = Authority(tmp_path, "other")

        answer = storescu(receiver, *over_tls(scanner, other), write(us_image(), tmp_path / "image.dcm"))

        assert answer.returncode != 0
        assert receiver.accepted == []
        assert wait_until(lambda: "it does not take the node's certificate" in caplog.text)

    def test_a_sender_without_tls_is_aborted(
        self, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = storescu(receiver, write(us_image(), tmp_path / "image.dcm"))

        assert answer.returncode != 0
        assert "Peer aborted Association" in answer.stderr
        assert receiver.accepted == []
        assert wait_until(lambda: "it speaks DICOM without TLS" in caplog.text)

    def test_connections_that_never_speak_do_not_hold_a_sender_up(
        self, authority: Authority, scanner: Pair, tmp_path: Path
    ) -> None:
        pair = authority.issue()
        with Receiver(pair=pair, tls_client_ca=authority.file, network_timeout_s=600) as receiver:
            silent = [RawPeer(receiver.port) for _ in range(5)]
            silent[0].send(b"\x16\x03\x01")

            answer = storescu(
                receiver, *over_tls(scanner, authority), write(us_image(), tmp_path / "image.dcm")
            )

            assert answer.returncode == 0, answer.stderr
            assert len(receiver.scp._server.associations) >= len(silent)
            for peer in silent:
                peer.socket.close()


@contextmanager
def storescp(port: int, folder: Path, *options: object) -> Iterator[Path]:
    """DCMTK's receiver; it is ready once it listens."""
    folder.mkdir()
    command = [str(one) for one in ("storescp", "-aet", "PACS", "-od", folder, *options, port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            assert wait_until(lambda: process.poll() is not None or _listens(port), 30)
            yield folder
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    """Without connecting to it: storescp serves one at a time."""
    wanted = f"{port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1].endswith(":" + wanted) and line.split()[3] == "0A" for line in lines)


def destination(port: int, ca: Path, client: Pair | None = None, **changes: Any) -> CStoreDestination:
    values = {
        "name": "pacs", "host": "127.0.0.1", "port": port, "ae_title": "PACS", "timeout_s": 20, "tls": True,
        "tls_ca": ca, "tls_certificate": client and client.certificate, "tls_key": client and client.key,
    }  # fmt: skip
    return CStoreDestination(CStoreDestinationSettings(**{**values, **changes}))


class TestDcmtkReceives:
    pytestmark = needs_dcmtk

    def test_results_arrive(self, authority: Authority, tmp_path: Path, free_port: Callable[[], int]) -> None:
        port, pair, client = free_port(), authority.issue("pacs"), authority.issue("client", "cadnode")
        results = tmp_path / "results"
        results.mkdir()
        write_results(results, STUDY, "abcdefab")
        sent: list[str] = []
        with storescp(port, tmp_path / "pacs", *over_tls(pair, authority)) as held:
            sending = destination(port, authority.file, client)
            sending.verify()
            sending.send(results, (), sent.append)

        assert sorted(str(dcmread(path).SOPInstanceUID) for path in held.iterdir()) == sorted(sent)
        assert len(sent) == 2

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ("ca", "shows a certificate that is not trusted"),
            ("name", "shows a certificate that is not issued to pacs.example.org"),
            ("no certificate", "tls_certificate"),
            ("other certificate", "does not take the node's certificate"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, authority: Authority, tmp_path: Path, free_port: Callable[[], int], wrong: str, said: str
    ) -> None:
        port, pair, client = free_port(), authority.issue("pacs"), authority.issue("client", "cadnode")
        other = Authority(tmp_path, "other")
        sending = {
            "ca": lambda: destination(port, other.file, client),
            "name": lambda: destination(port, authority.file, client, tls_server_name="pacs.example.org"),
            "no certificate": lambda: destination(port, authority.file),
            "other certificate": lambda: destination(port, authority.file, other.issue("stranger")),
        }[wrong]()
        with (
            storescp(port, tmp_path / "pacs", *over_tls(pair, authority)),
            pytest.raises(DestinationUnreachableError, match=said),
        ):
            sending.verify()

    def test_a_receiver_without_tls_is_named(
        self, authority: Authority, tmp_path: Path, free_port: Callable[[], int]
    ) -> None:
        port = free_port()
        with (
            storescp(port, tmp_path / "pacs"),
            pytest.raises(DestinationUnreachableError, match="speaks no TLS there"),
        ):
            destination(port, authority.file).verify()


@pytest.mark.orthanc
@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="needs Debian's orthanc")
def test_orthanc_takes_results_over_tls(authority: Authority, tmp_path: Path) -> None:
    pair, client = authority.issue("pacs"), authority.issue("client", "cadnode")
    orthanc = Orthanc(
        tmp_path / "orthanc",
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(pair.certificate),
        DicomTlsPrivateKey=str(pair.key),
        DicomTlsTrustedCertificates=str(authority.file),
    )
    results = tmp_path / "results"
    results.mkdir()
    write_results(results, STUDY, "abcdefab")
    sent: list[str] = []
    orthanc.start()
    try:
        sending = destination(orthanc.dicom_port, authority.file, client, ae_title=orthanc.ae_title)
        sending.send(results, (), sent.append)
        assert sorted(orthanc.instances()) == sorted(sent)
        with pytest.raises(DestinationUnreachableError, match="certificate"):
            destination(orthanc.dicom_port, authority.file, ae_title=orthanc.ae_title).verify()
    finally:
        orthanc.stop()
