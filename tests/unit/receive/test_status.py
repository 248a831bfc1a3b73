import pytest

from cad_node import errors
from cad_node.receive.status import STATUS_OF, SUCCESS, refusal_for, status_dataset


def _descendants(kind):
    return {kind}.union(*(_descendants(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("kind", sorted(_descendants(errors.ReceiveError), key=lambda kind: kind.__name__))
def test_every_receive_error_has_a_status_of_its_own(kind):
    assert kind in STATUS_OF


@pytest.mark.parametrize("kind", sorted(_descendants(errors.CadNodeError), key=lambda kind: kind.__name__))
def test_no_error_is_answered_with_success(kind):
    assert refusal_for(kind("something")).status != SUCCESS


def test_the_table_names_no_error_that_is_gone():
    assert set(STATUS_OF) <= _descendants(errors.CadNodeError)


def test_statuses_are_those_of_the_storage_service_class():
    assert refusal_for(errors.InboxFullError("x")).status == 0xA700
    assert refusal_for(errors.MismatchedObjectError("x")).status == 0xA900
    assert 0xC000 <= refusal_for(errors.UnreadableDatasetError("x")).status <= 0xCFFF
    assert refusal_for(errors.UnsupportedObjectError("x")).status == 0x0122


def test_a_foreign_exception_is_a_processing_failure():
    assert refusal_for(RuntimeError("DOE^JANE")).status == 0x0110


@pytest.mark.parametrize("refusal", STATUS_OF.values(), ids=lambda refusal: f"{refusal.status:04X}")
def test_the_comment_fits_its_element_and_reaches_the_sender(refusal):
    dataset = status_dataset(refusal)

    assert 0 < len(dataset.ErrorComment) <= 64
    assert dataset.Status == refusal.status


def test_every_refusal_has_another_status():
    assert len({refusal.status for refusal in STATUS_OF.values()}) == len(STATUS_OF)
