import json
from pathlib import Path

import numpy as np
import pytest

from cad_node.networks import Bundle, LesionModel, load_bundle
from cad_node.pipeline.segment import find_lesions
from cad_node.train.cases import as_frame
from cad_node.train.data import clean_path, read_grey, read_manifest
from cad_node.train.evidence import evidence_from_json, evidence_to_json, gather, softmax
from tests.unit.train.published import write_data

SHIPPED = Path(__file__).parents[3] / "models" / "breast-us"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"), per_fold=1, folds=(1,))


@pytest.fixture(scope="module")
def model():
    bundle: Bundle = load_bundle(SHIPPED)
    return LesionModel(bundle, bundle.load_network())


def test_evidence_is_what_the_node_would_find(folder, model):
    """The same components, classes and overlap as `find_lesions` gives in service."""
    samples = read_manifest(folder).samples
    for sample, one in zip(samples, gather(model, folder, samples, [model.threshold]), strict=True):
        findings, overall = find_lesions(as_frame(read_grey(folder / sample.image)), model, 0.0)
        found = one.found[model.threshold]
        kept = [
            c for c in found.components if softmax(c.logits / model.bundle.temperature)[0] < model.normal_veto
        ]
        assert len(kept) == len(findings)
        assert sum(c.area for c in kept) == sum(int(finding.mask.sum()) for finding in findings)
        said = softmax(found.together[len(kept)] / model.bundle.temperature)
        assert said[2] == pytest.approx(overall.malignant, abs=1e-5)


def test_cleaned_copies_are_seen_beside_the_originals(folder, model, tmp_path):
    samples = read_manifest(folder).samples[:2]
    copy = clean_path(tmp_path, samples[0])
    copy.parent.mkdir(parents=True)
    copy.write_bytes((folder / samples[0].image).read_bytes())
    seen = gather(model, folder, samples, [0.5], tmp_path)
    assert [one.group for one in seen] == [samples[0].group, samples[0].group, samples[1].group]
    assert seen[0].dice(0.5, 1) == seen[1].dice(0.5, 1)


def test_evidence_comes_back_from_json_as_it_was(folder, model):
    for one in gather(model, folder, read_manifest(folder).samples, [0.35, 0.5]):
        back = evidence_from_json(json.loads(json.dumps(evidence_to_json(one))))
        assert (back.dataset, back.group, back.target, back.drawn) == (
            one.dataset,
            one.group,
            one.target,
            one.drawn,
        )
        assert back.found.keys() == one.found.keys()
        for threshold, found in one.found.items():
            there = back.found[threshold]
            np.testing.assert_array_equal(there.together, found.together)
            assert [(c.area, c.shared) for c in there.components] == [
                (c.area, c.shared) for c in found.components
            ]


def test_softmax_does_not_overflow():
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0])), [0.5, 0.5])
