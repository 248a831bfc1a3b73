import json

import pytest

from cad_node.errors import SettingsError
from cad_node.train.data import Sample
from cad_node.train.learned import Learned, read_learned, refuse_leak
from cad_node.train.splits import SplitKind

BUSI_5 = Sample("BUSI", "x.png", "benign", "g", 5)


def _model(folder, **data):
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "train.json").write_text(json.dumps({"data": data}))
    return folder


def test_train_json_tells_folds_data_sets_and_split(tmp_path):
    model = _model(tmp_path, folds=[1, 2], datasets=["BUSI"], split="papers")
    assert read_learned(model) == Learned(frozenset({1, 2}), frozenset({"BUSI"}), SplitKind.PAPERS)


def test_older_model_names_its_data_sets_in_the_counts(tmp_path):
    counts = {"BUS-BRA benign": 904, "BUSI normal": 96, "groups": 1187, "images": 1886}
    learned = read_learned(_model(tmp_path, folds=[1], training=counts, validation={"images": 3}))
    assert learned == Learned(frozenset({1}), frozenset({"BUS-BRA", "BUSI"}))


def test_model_that_says_nothing_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="does not say what the model has learned from"):
        read_learned(_model(tmp_path))


@pytest.mark.parametrize(
    ("learned", "kind", "message"),
    [
        (Learned(frozenset({4, 5}), frozenset({"BUSI"})), SplitKind.GROUPED, "was trained on fold 5 of BUSI"),
        (Learned(frozenset({1}), frozenset({"BUSI"})), SplitKind.PAPERS, "trained on a grouped split"),
        (Learned(frozenset({1}), frozenset({"BUSI"}), SplitKind.PAPERS), SplitKind.GROUPED, "papers split"),
    ],
)
def test_model_is_not_scored_on_what_it_may_have_seen(learned, kind, message):
    with pytest.raises(SettingsError, match=message):
        refuse_leak(learned, kind, [BUSI_5], "breast-us")


@pytest.mark.parametrize(
    "learned", [Learned(frozenset({5}), frozenset({"BUS-BRA"})), Learned(frozenset({1}), frozenset({"BUSI"}))]
)
def test_the_same_fold_of_another_data_set_is_no_leak(learned):
    refuse_leak(learned, SplitKind.GROUPED, [BUSI_5], "breast-us")
