"""The model folder as MONAI's own tools read it."""

import pytest
import torch
from monai.bundle import ConfigParser, verify_net_in_out


@pytest.fixture
def parser(bundle_folder):
    parser = ConfigParser()
    parser.read_config(bundle_folder / "configs" / "inference.json")
    parser.read_meta(bundle_folder / "configs" / "metadata.json")
    parser["bundle_root"] = str(bundle_folder)
    return parser


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_network_takes_and_gives_what_the_metadata_says(bundle_folder):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle_folder / "configs" / "metadata.json"),
        config_file=str(bundle_folder / "configs" / "inference.json"),
        device="cpu",
    )


def test_inference_config_builds_the_architecture(parser):
    with torch.inference_mode():
        logits = parser.get_parsed_content("network_def").eval()(torch.zeros(1, 1, 64, 64))
    assert logits.shape == (1, 1, 64, 64)


def test_inference_config_loads_the_verified_model(parser):
    assert parser.get_parsed_content("model").bundle.name == "tiny"
