import json

import pytest
import torch

from cad_node.errors import ModelChecksumError, ModelError, ModelNotFoundError
from cad_node.networks.bundle import (
    METADATA_FILE,
    SUMS_FILE,
    VERIFIED_FILES,
    WEIGHTS_FILE,
    load_bundle,
    write_sums,
)


def _edit(folder, **changes):
    """Change the metadata and sign it again."""
    path = folder / METADATA_FILE
    metadata = json.loads(path.read_text())
    metadata["cad_node"] |= changes
    path.write_text(json.dumps(metadata))
    write_sums(folder)


def test_bundle_says_how_the_model_is_run(bundle_folder):
    bundle = load_bundle(bundle_folder)
    assert (bundle.name, bundle.version, bundle.size_px) == ("tiny", "1.2.3", 64)
    assert (bundle.temperature, bundle.threshold, bundle.normal_veto, bundle.flips) == (1.5, 0.4, 0.7, True)
    assert len(bundle.sha256) == 64


@pytest.mark.parametrize("name", VERIFIED_FILES)
def test_changed_file_is_refused(bundle_folder, name):
    content = bytearray((bundle_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_folder / name).write_bytes(content)
    with pytest.raises(ModelChecksumError) as raised:
        load_bundle(bundle_folder)
    assert str(raised.value) == (
        f"Model 'tiny' in {bundle_folder} does not match its sha256: {name} was changed. "
        "Restore the folder, or name another model in [pipeline] model."
    )


@pytest.mark.parametrize("name", [SUMS_FILE, *VERIFIED_FILES])
def test_missing_file_is_named(bundle_folder, name):
    (bundle_folder / name).unlink()
    with pytest.raises(ModelNotFoundError, match=name.split("/")[-1]):
        load_bundle(bundle_folder)


def test_another_threshold_is_another_model(bundle_folder):
    before = load_bundle(bundle_folder).sha256
    _edit(bundle_folder, threshold=0.41)
    assert load_bundle(bundle_folder).sha256 != before


def test_model_without_a_word_about_abstention_never_abstains(bundle_folder):
    _edit(bundle_folder, abstain_below=0.7)
    assert load_bundle(bundle_folder).abstain_below == 0.7
    content = json.loads((bundle_folder / METADATA_FILE).read_text())
    del content["cad_node"]["abstain_below"]
    (bundle_folder / METADATA_FILE).write_text(json.dumps(content))
    write_sums(bundle_folder)
    assert load_bundle(bundle_folder).abstain_below == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "vgg99"},
        {"size_px": 100},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"threshold": 1.5},
        {"threshold": "high"},
        {"abstain_below": 1.0},
        {"veto_image_share": -0.1},
        {"abstain_below": float("nan")},
    ],
    ids=str,
)
def test_metadata_that_cannot_be_run_is_refused(bundle_folder, changes):
    _edit(bundle_folder, **changes)
    with pytest.raises(ModelError):
        load_bundle(bundle_folder)


def test_weights_of_another_network_are_refused(bundle_folder):
    torch.save({"weight": torch.zeros(3)}, bundle_folder / WEIGHTS_FILE)
    write_sums(bundle_folder)
    with pytest.raises(ModelError, match="do not fit"):
        load_bundle(bundle_folder).load_network()


def test_file_that_is_no_checkpoint_is_refused(bundle_folder):
    (bundle_folder / WEIGHTS_FILE).write_bytes(b"no weights at all")
    write_sums(bundle_folder)
    with pytest.raises(ModelError):
        load_bundle(bundle_folder).load_network()


def test_weights_come_back_as_they_were_but_for_half_precision(bundle_folder, small_network):
    loaded = load_bundle(bundle_folder).load_network()
    for key, value in small_network.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(image)[0], small_network(image)[0], rtol=0.02, atol=0.02)


def test_weights_are_loaded_without_running_code_from_the_file(bundle_folder):
    class Evil:
        def __reduce__(self):
            return (bundle_folder.joinpath("ran").touch, ())

    torch.save({"weight": Evil()}, bundle_folder / WEIGHTS_FILE)
    write_sums(bundle_folder)
    with pytest.raises(ModelError):
        load_bundle(bundle_folder).load_network()
    assert not (bundle_folder / "ran").exists()
