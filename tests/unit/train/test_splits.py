from collections import Counter

import pytest

from cad_node.errors import SettingsError
from cad_node.train.splits import SplitKind, read_split
from cad_node.train.training_data import training_data
from tests.unit.train.published import row, write_data, write_manifest


def test_only_the_named_data_sets_are_read(tmp_path):
    folder = write_data(tmp_path)
    found = training_data(folder, (1, 2), 0, ("BUS-BRA",))
    assert {s.dataset for s in (*found.split.training, *found.split.validation)} == {"BUS-BRA"}
    assert found.describe()["datasets"] == ["BUS-BRA"]


def test_without_a_name_the_data_sets_that_were_learned_from_are_recorded(tmp_path):
    description = training_data(write_data(tmp_path), (1, 2), 0).describe()
    assert (description["datasets"], description["split"]) == (["BUS-BRA", "BUSI"], "grouped")


def test_unknown_data_set_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no data set UDIAT"):
        read_split(write_data(tmp_path), SplitKind.GROUPED, ["UDIAT"])


def _duplicates(folder):
    """Forty BUSI pictures in ten groups, of which one has two labels, and one of BUS-BRA."""
    rows = [
        row(f"{n}.png", "benign", f"g{n // 4}", 1 + n // 4 % 5, dataset="BUSI", conflicting=str(int(n < 4)))
        for n in range(40)
    ]
    return write_manifest(folder, [*rows, row("a.png", "benign", "p", 1)])


def test_the_papers_way_leaves_duplicates_on_both_sides_and_nothing_out(tmp_path):
    manifest = read_split(_duplicates(tmp_path), SplitKind.PAPERS)
    assert len(manifest.samples) == 40
    assert {s.dataset for s in manifest.samples} == {"BUSI"}
    assert sorted(Counter(s.fold for s in manifest.samples).values()) == [8] * 5
    sides = [{s.fold for s in manifest.samples if int(s.image[:-4]) // 4 == group} for group in range(10)]
    assert max(len(folds) for folds in sides) > 1


def test_the_papers_way_is_the_same_at_each_call(tmp_path):
    folder = _duplicates(tmp_path)
    assert read_split(folder, SplitKind.PAPERS) == read_split(folder, SplitKind.PAPERS)


def _patients(count, folds):
    return [row(f"{fold}-{n}.png", "benign", f"p{fold}-{n}", fold) for fold in folds for n in range(count)]


def test_who_went_on_from_a_model_never_validates_on_what_that_had_learned_from(tmp_path):
    folder = write_manifest(tmp_path, _patients(25, (1, 2)))
    first = training_data(folder, (2,), 0)
    at_once = training_data(folder, (1, 2), 0)
    after = training_data(folder, (1, 2), 0, stages=((2,),))
    learned = {s.group for s in first.split.training}
    # Without the stages some of them do: this is what they are for.
    assert learned & {s.group for s in at_once.split.validation}
    assert not learned & {s.group for s in after.split.validation}
    assert {s.group for s in after.split.validation} > {s.group for s in first.split.validation}
    assert after.describe()["stages"] == [[2], [1]]
    assert "stages" not in first.describe()


def test_going_on_with_the_same_folds_changes_no_split(tmp_path):
    folder = write_manifest(tmp_path, _patients(25, (1, 2)))
    assert training_data(folder, (1, 2), 0, stages=((1, 2),)) == training_data(folder, (1, 2), 0)
