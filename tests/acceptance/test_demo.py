"""What a newcomer runs first."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import run_cli

pytestmark = pytest.mark.slow


def test_the_demo_makes_seg_and_sr_and_reads_them_back(tmp_path: Path) -> None:
    done = run_cli("demo", "--once", "--output", tmp_path, "--port", "0")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "colour_doppler" in done.stdout
    pages = list(tmp_path.glob("results/*/index.html"))
    assert len(pages) == 1
    assert len(list(pages[0].parent.glob("seg-*.dcm"))) == 3
    assert len(list(pages[0].parent.glob("preview-*.png"))) >= 3
    assert "TESTPATIENT" not in pages[0].read_text(encoding="utf-8")


def test_explain_tells_every_step() -> None:
    told = run_cli("explain").stdout

    for word in ("Receive", "Gate", "inpainting", "Segment", "Classify", "Measure", "Encode", "Deliver"):
        assert word in told


def test_check_finds_nothing_wrong_with_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADNODE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CADNODE_RECEIVE__DISK_RESERVE_BYTES", "0")

    done = run_cli("check")

    assert done.returncode == 0, done.stdout
    assert "failed" not in done.stdout


def test_check_says_which_destination_does_not_answer(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        f"data_dir = '{tmp_path}'\n[[destinations]]\ntype = 'cstore'\nname = 'gone'\n"
        "host = '127.0.0.1'\nport = 1\nae_title = 'GONE'\ntimeout_s = 2\n"
    )

    done = run_cli("check", "--config", config)

    assert done.returncode == 1
    assert "gone" in done.stdout


def test_wrong_settings_end_with_exit_code_78(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text("[receive]\nprot = 104\n")

    done = run_cli("check", "--config", config)

    assert done.returncode == 78
    assert "receive.prot" in done.stderr
