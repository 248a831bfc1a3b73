import pytest
from pynetdicom.dimse_messages import C_ECHO_RSP, C_STORE_RSP, N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_EVENT_REPORT

from cad_node.receive.messages import PresentationData, ProtocolViolationError, encode_response
from tests.receiving import US_IMAGE, VERIFICATION, p_data


def _by_pynetdicom(message, primitive) -> bytes:
    message.primitive_to_message(primitive)
    fragments = list(message.encode_msg(1, 16384))
    assert len(fragments) == 1
    content = fragments[0].presentation_data_value_list[0][1]
    assert content[:1] == b"\x03"
    return content[1:]


@pytest.mark.parametrize(
    ("status", "comment"), [(0x0000, None), (0xA700, "Out of resources"), (0xC000, "odd")], ids=str
)
@pytest.mark.parametrize("sop_instance", ["1.2.3", "1.2.34", None])
def test_a_store_response_is_encoded_as_pynetdicom_would(status, comment, sop_instance):
    response = C_STORE()
    response.MessageID = response.MessageIDBeingRespondedTo = 77
    response.AffectedSOPClassUID = US_IMAGE
    response.AffectedSOPInstanceUID = sop_instance
    response.Status = status
    response.ErrorComment = comment

    assert encode_response(response) == _by_pynetdicom(C_STORE_RSP(), response)


def test_a_store_response_names_the_instance_by_the_text_of_the_request():
    response = C_STORE()
    response.MessageID = response.MessageIDBeingRespondedTo = 77
    response.AffectedSOPClassUID = US_IMAGE
    response.Status = 0

    assert b"1.2.840.0113619.05" in encode_response(response, "1.2.840.0113619.05")


def test_an_echo_response_is_encoded_as_pynetdicom_would():
    response = C_ECHO()
    response.MessageID = response.MessageIDBeingRespondedTo = 65535
    response.AffectedSOPClassUID = VERIFICATION
    response.Status = 0

    assert encode_response(response) == _by_pynetdicom(C_ECHO_RSP(), response)


@pytest.mark.parametrize(("status", "comment"), [(0x0000, None), (0x0115, "No such transaction")], ids=str)
def test_the_response_to_a_report_is_encoded_as_pynetdicom_would(status, comment):
    response = N_EVENT_REPORT()
    response.MessageID = response.MessageIDBeingRespondedTo = 3
    response.AffectedSOPClassUID = "1.2.840.10008.1.20.1"
    response.AffectedSOPInstanceUID = "1.2.840.10008.1.20.1.1"
    response.EventTypeID = 2
    response.Status = status
    response.ErrorComment = comment

    assert encode_response(response) == _by_pynetdicom(N_EVENT_REPORT_RSP(), response)


def test_fragments_are_cut_out_of_a_pdu():
    one = p_data(0, b"first", 1)
    both = bytearray(one + p_data(2, b"second", 3)[6:])

    found = [(context, control, bytes(data)) for context, control, data in PresentationData(both).fragments()]

    assert found == [(1, 0, b"first"), (3, 2, b"second")]


@pytest.mark.parametrize("length", range(1, 11))
def test_a_fragment_that_is_cut_off_is_a_violation(length):
    pdu = bytearray(p_data(0, b"first"))[: 6 + length]

    with pytest.raises(ProtocolViolationError):
        list(PresentationData(pdu).fragments())
