"""`cad-node process` over archived studies: good ones, bad ones, interrupted ones, real ones."""

import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.acceptance.conftest import COMMAND, read_report, run_cli, wait_for
from tests.factories import ellipse, us_cine, us_image, write

pytestmark = pytest.mark.slow

COLUMNS = (
    "study_instance_uid,series_instance_uid,sop_instance_uid,frame,status,reason,class,p_normal,p_benign,p_malignant,"
    "lesions,long_axis_mm,short_axis_mm,area_mm2,annotations_removed,marked,typed,"
    "size_differs,seg,sr,preview,seconds"
)


def test_a_corrupt_file_costs_only_itself(tmp_path: Path, demo_files: list[Path]) -> None:
    archive = demo_files[0].parent
    good = us_image(lesion=ellipse())
    write(good, archive)
    content = demo_files[0].read_bytes()
    # Pixel data cut short in a study of its own, and a file that is no DICOM past its preamble.
    truncated = us_image()
    path = write(truncated, archive)
    path.write_bytes(path.read_bytes()[:-60_000])
    (archive / "corrupt.dcm").write_bytes(content[:132] + b"\xff" * 300)
    (archive / "notes.txt").write_text("not DICOM at all")

    done = run_cli("process", archive, "--output", tmp_path / "out")

    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    rows = read_report(tmp_path / "out")
    assert (tmp_path / "out" / "report.csv").read_text().splitlines()[0] == COLUMNS
    by_uid = {}
    for row in rows:
        by_uid.setdefault(row["sop_instance_uid"], []).append(row)
    assert {row["status"] for row in by_uid[str(good.SOPInstanceUID)]} == {"analysed"}
    assert by_uid[str(truncated.SOPInstanceUID)][0]["status"] in ("not_analysed", "failed")
    assert by_uid[str(truncated.SOPInstanceUID)][0]["reason"]
    doppler = dcmread(demo_files[3])
    assert by_uid[str(doppler.SOPInstanceUID)][0]["reason"] == "colour_doppler"
    cine = dcmread(demo_files[2])
    assert [row["frame"] for row in by_uid[str(cine.SOPInstanceUID)]] == [
        str(number) for number in range(1, cine.NumberOfFrames + 1)
    ]
    for row in rows:
        for column in ("seg", "sr", "preview"):
            assert not row[column] or (tmp_path / "out" / row[column]).is_file()


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_run_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    for number in range(8):
        write(us_image(seed=number, lesion=ellipse()), tmp_path / "archive")
    output = tmp_path / "out"
    command = [*COMMAND, "process", str(tmp_path / "archive"), "--output", str(output)]
    # A test run in the background inherits an ignored SIGINT; a user's shell does not hand one down.
    with subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509  no other thread runs here
    ) as running:
        wait_for(lambda: len(list(output.glob("*/result.json"))) >= 2, 180, "two results")
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 1
    first = {path: path.stat().st_mtime_ns for path in output.glob("*/sr.dcm")}
    assert 2 <= len(first) < 8

    again = run_cli(*command[3:])

    assert again.returncode == 0, again.stderr
    assert len(list(output.glob("*/sr.dcm"))) == 8
    assert all(path.stat().st_mtime_ns == time for path, time in first.items()), "made again"
    assert len(read_report(output)) == 8


def test_a_second_run_makes_the_same_uids(tmp_path: Path) -> None:
    write(us_image(lesion=ellipse()), tmp_path / "archive")
    for output in ("one", "two"):
        assert run_cli("process", tmp_path / "archive", "--output", tmp_path / output).returncode == 0

    one, two = (
        {dcmread(path).SOPInstanceUID for path in (tmp_path / output).glob("*/*.dcm")}
        for output in ("one", "two")
    )

    assert one == two


def test_a_wrong_path_is_wrong_usage(tmp_path: Path) -> None:
    assert run_cli("process", tmp_path / "nothing", "--output", tmp_path / "out").returncode == 2


def test_an_unknown_destination_is_a_settings_error(tmp_path: Path) -> None:
    write(us_image(), tmp_path / "archive")

    done = run_cli("process", tmp_path / "archive", "--output", tmp_path / "out", "--send", "elsewhere")

    assert done.returncode == 78
    assert "elsewhere" in done.stderr


def test_results_are_sent_where_asked(tmp_path: Path) -> None:
    write(us_cine(frames=3, lesion=ellipse()), tmp_path / "archive")
    config = tmp_path / "node.toml"
    config.write_text(f"[[destinations]]\ntype = 'folder'\nname = 'there'\npath = '{tmp_path / 'there'}'\n")

    done = run_cli("process", tmp_path / "archive", "-o", tmp_path / "out", "--send", "there", "-c", config)

    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "there").glob("*/sr.dcm"))) == 1


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.mark.parametrize(
    "folder",
    [
        _package_folder("pydicom") / "data" / "test_files",
        _package_folder("data_store") / "data",
        _package_folder("deid_data") if find_spec("deid_data") else _package_folder("deid"),
    ],
    ids=["pydicom", "pydicom-data", "deid-data"],
)
def test_real_files_are_analysed_or_refused_with_a_reason(folder: Path, tmp_path: Path) -> None:
    done = run_cli("process", folder, "--output", tmp_path / "out", "--workers", "2", timeout_s=1500)

    assert done.returncode in (0, 1)
    assert "Traceback" not in done.stderr
    rows = read_report(tmp_path / "out")
    assert rows
    for row in rows:
        assert row["status"] in ("analysed", "not_analysed", "failed")
        assert row["status"] == "analysed" or row["reason"]
        assert "Unexpected" not in row["reason"], row
        assert "worker ended" not in row["reason"], row
