"""The hand-labelled list of burnt-in annotations."""

import csv
from pathlib import Path

LABELS = Path(__file__).parents[1] / "data" / "annotation_labels.csv"
KINDS = ("text", "calipers", "body_mark", "logo", "ruler", "other")


def _rows() -> list[dict[str, str]]:
    with LABELS.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["image", *KINDS]
        return list(reader)


def test_every_image_is_listed_once_with_a_yes_or_no_for_each_kind() -> None:
    rows = _rows()

    assert len(rows) == len({row["image"] for row in rows}) == 200
    assert {row[kind] for row in rows for kind in KINDS} == {"0", "1"}


def test_the_counts_are_those_that_the_readme_gives() -> None:
    readme = (LABELS.parent / "README.md").read_text(encoding="utf-8")
    folders = {"BUSI": "Dataset_BUSI_with_GT/", "BUS-BRA": "BUSBRA/Images/"}

    for dataset, folder in folders.items():
        rows = [row for row in _rows() if row["image"].startswith(folder)]
        counts = [len(rows), *(sum(row[kind] == "1" for row in rows) for kind in KINDS)]
        counts.append(sum(all(row[kind] == "0" for kind in KINDS) for row in rows))
        assert f"| {dataset} | " + " | ".join(map(str, counts)) + " |" in readme
