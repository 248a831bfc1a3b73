from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cad_node import codes
from cad_node.domain import LesionClass, NotAnalysed, Status
from cad_node.encode import Templates, load_templates
from cad_node.errors import TemplateError
from cad_node.resources import templates_dir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(templates_dir(), tmp_path / "templates"))


def edit(file: Path, old: str, new: str) -> int:
    """Replace a text and return the number of its line."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_every_class_status_and_reason_has_words_and_every_reason_a_code(templates: Templates) -> None:
    assert set(templates.wording.classes) == set(LesionClass)
    assert set(templates.wording.statuses) == set(Status)
    assert set(templates.wording.reasons) == set(NotAnalysed) == set(codes.REASONS)
    assert all(len(code) <= 16 for code in codes.REASONS.values())


def test_texts_that_go_into_dicom_are_plain_letters() -> None:
    for name in ("seg.toml", "sr_tid1500.toml"):
        assert (templates_dir() / name).read_text(encoding="utf-8").isascii()


def test_the_digest_changes_with_the_wording(folder: Path, templates: Templates) -> None:
    assert load_templates(folder).digest == templates.digest
    edit(folder / "seg.toml", "Lesion {number} ({class_name})", "L{number}")
    assert load_templates(folder).digest != templates.digest


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("wording.toml", 'video = "Video', 'vidoe = "Video', "reasons.vidoe: unknown key"),
        ("seg.toml", 'label = "LESIONS" ', "label = 7 ", "content.label: a text is needed"),
        ("seg.toml", 'label = "LESIONS" ', 'label = "lesions" ', "content.label: does not match"),
        ("seg.toml", "Lesion {number} (", "Lesion {nubmer} (", "segment.label: unknown placeholder"),
        ("seg.toml", "Lesion {number} (", "Lesion {number (", "segment.label: braces do not match"),
        ("seg.toml", '"#2ec4b6"', '"green"', "colours.benign: a colour is written like"),
        ("seg.toml", 'value = "4147007", ', "", "segment.type: key 'value' is missing"),
        ("seg.toml", '"4147007", scheme = "SCT"', '"1", scheme = "99ME"', "unknown private coding scheme"),
        ("seg.toml", "CAD Node: lesion masks", "CAD Node: lesion masks " + "x" * 40, "longer than 64"),
        ("preview.toml", "font_size = 20", "font_size = 0", "picture.font_size: a whole number"),
        ("sr_tid1500.toml", 'category = { value = "49755003"', 'category = { value = ""', "a text is needed"),
    ],
)
def test_a_wrong_value_is_refused_with_file_and_line(
    folder: Path, name: str, old: str, new: str, says: str
) -> None:
    line = edit(folder / name, old, new)
    with pytest.raises(TemplateError) as caught:
        load_templates(folder)
    assert f"{name}, line {line}" in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_key_is_named_with_its_section(folder: Path) -> None:
    edit(folder / "wording.toml", 'm_mode = "M-mode images are not analysed."\n', "")
    with pytest.raises(TemplateError, match=r"wording\.toml, line \d+, reasons: key 'm_mode' is missing"):
        load_templates(folder)


def test_broken_toml_names_file_and_line(folder: Path) -> None:
    line = edit(folder / "seg.toml", "[content]", "[content")
    with pytest.raises(TemplateError, match=rf"seg\.toml is not valid TOML: .*line {line}"):
        load_templates(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "preview.toml").unlink()
    with pytest.raises(TemplateError, match=r"preview\.toml does not exist"):
        load_templates(folder)


def test_a_file_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "preview.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"preview\.toml cannot be read"):
        load_templates(folder)


def test_a_broken_page_names_its_line(folder: Path) -> None:
    line = edit(folder / "page.html.j2", "{% for image in images %}", "{% for image images %}")
    with pytest.raises(TemplateError, match=rf"page\.html\.j2, line {line}"):
        load_templates(folder)


def test_a_page_that_asks_for_what_it_does_not_get_is_refused(folder: Path) -> None:
    edit(folder / "page.html.j2", "{{ text.study }} {{ study }}", "Patient {{ patient_name }}")
    with pytest.raises(TemplateError, match=r"unknown names: patient_name"):
        load_templates(folder)
