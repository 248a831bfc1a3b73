"""Which objects are made, and which go where."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from cad_node.encode.encoders import ENCODERS
from cad_node.errors import SettingsError
from cad_node.result_files import FILE_PREFIXES
from cad_node.settings import (
    FolderDestinationSettings,
    NodeSettings,
    ObjectKind,
    ResultSettings,
    load_settings,
)
from cad_node.variants import KINDS, Variant, all_variants, destination_variants


def folder(name: str, **choice: Any) -> FolderDestinationSettings:
    return FolderDestinationSettings(name=name, path=Path("/nowhere"), **choice)


def node(*destinations: FolderDestinationSettings, **results: Any) -> NodeSettings:
    return NodeSettings(destinations=destinations, results=ResultSettings(**results))


def names(variants: tuple[Variant, ...]) -> list[str]:
    return [variant.name for variant in variants]


def test_every_kind_has_an_order_an_encoder_and_a_file_name() -> None:
    assert set(get_args(ObjectKind)) == set(KINDS) == set(ENCODERS) == set(FILE_PREFIXES)


def test_by_default_a_destination_gets_seg_and_sr() -> None:
    assert names(all_variants(node(folder("a")))) == ["seg binary image", "sr comprehensive-3d"]


def test_what_two_destinations_share_is_made_once() -> None:
    settings = node(folder("a"), folder("b", objects=("sr", "pdf")), folder("c", sr_class="enhanced"))
    assert names(all_variants(settings)) == [
        "seg binary image",
        "pdf",
        "sr comprehensive-3d",
        "sr enhanced",
    ]


def test_a_destination_falls_back_to_the_results_section() -> None:
    results = ResultSettings(sr_class="enhanced", seg_type="fractional", transfer_syntax="rle")
    assert names(destination_variants(folder("a", seg_type="labelmap"), results)) == [
        "seg labelmap image rle",
        "sr enhanced",
    ]


def test_codecs_are_for_pixels_of_a_byte_and_deflating_is_for_everything() -> None:
    everything = tuple(KINDS)
    packed = destination_variants(folder("a", objects=everything, transfer_syntax="rle"), ResultSettings())
    assert [one.kind for one in packed if one.transfer_syntax == "rle"] == ["secondary_capture"]
    deflated = destination_variants(
        folder("a", objects=everything, transfer_syntax="deflated"), ResultSettings()
    )
    assert {one.transfer_syntax for one in deflated} == {"deflated"}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("objects = []", "objects"),
        ('objects = ["seg", "seg"]', "named twice"),
        ('objects = ["gsps"]', "objects"),
        ('seg_type = "surface"', "seg_type"),
        ('transfer_syntax = "jpeg"', "transfer_syntax"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f'[[destinations]]\ntype = "folder"\nname = "a"\npath = "x"\n{choice}\n')
    with pytest.raises(SettingsError, match=said):
        load_settings(file)
