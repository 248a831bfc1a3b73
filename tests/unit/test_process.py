"""By what results are made: every model and setting that can change them."""

import json
import shutil

from cad_node.networks import load_bundle
from cad_node.networks.bundle import METADATA_FILE, write_sums
from cad_node.process import find_model, provenance
from cad_node.resources import models_dir
from cad_node.settings import NodeSettings, PipelineSettings, RuntimeSettings


def _digest(settings):
    return provenance(settings, load_bundle(find_model(settings)), ()).settings_digest


def test_another_setting_makes_other_results():
    changed = NodeSettings(pipeline=PipelineSettings(ocr_confidence=0.6))
    assert _digest(NodeSettings()) == _digest(NodeSettings())
    assert _digest(NodeSettings()) != _digest(changed)


def test_another_annotation_model_of_the_same_name_makes_other_results(tmp_path):
    own = tmp_path / "annotations"
    shutil.copytree(models_dir() / "annotations", own)
    same = NodeSettings(runtime=RuntimeSettings(models_dir=tmp_path))
    assert _digest(same) == _digest(NodeSettings())

    metadata = json.loads((own / METADATA_FILE).read_text(encoding="utf-8"))
    metadata["cad_node"]["threshold"] = 0.8
    (own / METADATA_FILE).write_text(json.dumps(metadata), encoding="utf-8")
    write_sums(own)

    assert _digest(same) != _digest(NodeSettings())
