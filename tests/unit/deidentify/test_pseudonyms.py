import pytest
from pydicom.uid import UID

from cad_node.deidentify.pseudonyms import Pseudonyms
from cad_node.errors import SettingsError

NAMES = Pseudonyms(b"a secret of some length")


def test_equal_secrets_give_equal_names_and_others_give_others() -> None:
    same, other = Pseudonyms(b"a secret of some length"), Pseudonyms(b"a secret of same length")

    assert (same.uid("1.2"), same.patient("7"), same.days_back("7")) == (
        NAMES.uid("1.2"),
        NAMES.patient("7"),
        NAMES.days_back("7"),
    )
    assert other.uid("1.2") != NAMES.uid("1.2")
    assert other.patient("7") != NAMES.patient("7")


def test_a_uid_is_valid_and_a_patient_id_fits_every_vr() -> None:
    assert all(UID(NAMES.uid(f"1.2.{number}")).is_valid for number in range(50))
    assert all(len(NAMES.patient(str(number))) == 16 for number in range(50))


def test_purposes_and_borders_count() -> None:
    assert NAMES.digest("a", "bc") != NAMES.digest("ab", "c")
    assert NAMES.patient("1", "2") != NAMES.patient("12")


def test_dates_move_one_to_ten_years_back() -> None:
    moved = [NAMES.days_back(str(number)) for number in range(300)]

    assert min(moved) > 365
    assert max(moved) <= 3650
    assert len(set(moved)) > 250


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsError, match="shorter"):
        Pseudonyms(b"short")


def test_the_secret_stands_in_no_repr() -> None:
    assert "secret of" not in repr(NAMES)
