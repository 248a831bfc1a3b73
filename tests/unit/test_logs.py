import logging
import warnings

import pytest

from cad_node.logs import set_up_logging, study_context


def test_the_study_stands_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO")

    with study_context("1.2.3"):
        logging.getLogger("cad_node.somewhere").info("done")

    assert "study=1.2.3 done" in capsys.readouterr().err


def test_the_level_of_the_settings_holds(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("WARNING")

    logging.getLogger("cad_node.somewhere").info("done")

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["pydicom", "pynetdicom.acse", "sqlalchemy.engine", "highdicom.sr"])
def test_libraries_stay_quiet_even_when_they_set_their_own_level(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("DEBUG")
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.DEBUG)

    logger.warning("the value DOE^JANE is too long")

    logger.setLevel(before)
    assert capsys.readouterr().err == ""


def test_warnings_of_libraries_do_not_reach_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("DEBUG")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("the value DOE^JANE is too long", stacklevel=1)

    assert capsys.readouterr().err == ""
