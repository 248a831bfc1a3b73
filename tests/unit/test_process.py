"""By what results are made: every model and setting that can change them."""

import hashlib
import json
import shutil

import numpy as np

from cad_node.networks import load_bundle
from cad_node.networks.annotation_bundle import load_annotation_bundle
from cad_node.networks.bundle import METADATA_FILE, write_sums
from cad_node.process import find_model, load_processor, provenance
from cad_node.resources import models_dir
from cad_node.settings import NodeSettings, PipelineSettings, RuntimeSettings
from cad_node.train.cases import as_frame


def _digest(settings):
    return provenance(settings, load_bundle(find_model(settings)), ()).settings_digest


def test_another_setting_makes_other_results():
    changed = NodeSettings(pipeline=PipelineSettings(ocr_confidence=0.6))
    assert _digest(NodeSettings()) == _digest(NodeSettings())
    assert _digest(NodeSettings()) != _digest(changed)


def test_a_setting_that_is_not_set_makes_no_other_results():
    settings = NodeSettings()
    text = json.dumps(
        {
            **{
                key: value
                for key, value in settings.pipeline.model_dump(mode="json").items()
                if value is not None
            },
            "annotation_model_sha256": load_annotation_bundle(find_model(settings, "annotations")).sha256,
        },
        sort_keys=True,
    )
    assert settings.pipeline.normal_veto is None
    assert _digest(settings) == hashlib.sha256(text.encode()).hexdigest()
    assert _digest(NodeSettings(pipeline=PipelineSettings(normal_veto=0.5))) != _digest(settings)


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


def test_findings_are_dropped_at_the_operating_point_of_the_settings():
    rng = np.random.default_rng(0)
    row, column = np.ogrid[:300, :400]
    oval = ((row - 130) / 45) ** 2 + ((column - 210) / 70) ** 2 < 1
    echo = np.where(oval, 28, 120) * np.exp(-row / 500)
    frame = as_frame(np.clip(echo * rng.rayleigh(0.8, oval.shape), 0, 255).astype(np.uint8))
    runtime = RuntimeSettings(threads=1)

    def found(**chosen):
        settings = NodeSettings(runtime=runtime, pipeline=PipelineSettings(**chosen))
        return len(load_processor(settings).steps.find_lesions(frame)[0])

    assert found() == 1
    assert found(normal_veto=1e-6) == 0
