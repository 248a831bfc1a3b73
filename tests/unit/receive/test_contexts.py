from pydicom.pixels import decoders
from pydicom.uid import AllTransferSyntaxes

from cad_node.receive.contexts import (
    ANSWER_CLASSES,
    DECODED_SYNTAXES,
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    VERIFICATION,
    VIDEO_SYNTAXES,
    supported_contexts,
)


def _decoded_by_pydicom() -> set[str]:
    readable = set()
    for name in vars(decoders):
        decoder = getattr(decoders, name)
        if name.endswith("Decoder") and hasattr(decoder, "is_available") and decoder.is_available:
            readable.add(str(decoder.UID))
    return readable


def test_every_transfer_syntax_that_pydicom_decodes_here_is_accepted():
    decoded = _decoded_by_pydicom()

    assert len(decoded) >= 14
    assert decoded <= set(DECODED_SYNTAXES)


def test_what_is_listed_as_decoded_is_decoded():
    assert set(DECODED_SYNTAXES) <= _decoded_by_pydicom()


def test_every_video_transfer_syntax_is_accepted_and_stored():
    video = {str(uid) for uid in AllTransferSyntaxes if "MPEG" in uid.name or "HEVC" in uid.name}

    assert video == set(VIDEO_SYNTAXES)


def test_uncompressed_is_preferred_and_lossy_comes_last():
    order = list(DECODED_SYNTAXES)

    assert order[0] == "1.2.840.10008.1.2.1"
    assert order.index("1.2.840.10008.1.2.4.90") < order.index("1.2.840.10008.1.2.4.50")


def test_each_storage_class_is_offered_once_with_all_transfer_syntaxes():
    contexts = {str(context.abstract_syntax): context for context in supported_contexts()}

    assert set(contexts) == {VERIFICATION, *STORAGE_CLASSES, *ANSWER_CLASSES}
    for sop_class in STORAGE_CLASSES:
        assert len(contexts[sop_class].transfer_syntax) == len(DECODED_SYNTAXES) + len(VIDEO_SYNTAXES)


def test_answers_are_taken_uncompressed_alone():
    contexts = {str(context.abstract_syntax): context for context in supported_contexts()}

    for sop_class in ANSWER_CLASSES:
        assert set(contexts[sop_class].transfer_syntax) == set(list(DECODED_SYNTAXES)[:3])


def test_reports_are_taken_of_who_is_the_scp_alone():
    contexts = {
        str(context.abstract_syntax): context for context in supported_contexts(stores=False, reports=True)
    }

    assert set(contexts) == {VERIFICATION, STORAGE_COMMITMENT}
    commitment = contexts[STORAGE_COMMITMENT]
    assert (commitment.scu_role, commitment.scp_role) == (False, True)
