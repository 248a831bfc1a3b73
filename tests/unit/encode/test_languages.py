"""The shipped languages are whole, and what is written in them is valid and legible."""

from __future__ import annotations

import html
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cad_node.encode import languages, load_templates, render_page, render_preview
from cad_node.encode.template_reader import ENGLISH
from cad_node.errors import TemplateError
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings
from tests.factories import us_image
from tests.results import BENIGN, LARGE, MALIGNANT, analysed, refused, study
from tests.unit.encode.encoding import encode
from tests.unit.encode.test_sr import texts

OTHERS = ("de", "es", "fr", "pt")
# The same in every language: names, what hanging protocols look for, codes, colours, files.
CONSTANT = {
    "product.name",
    "product.manufacturer",
    "series.description",
    "text_series.description",
    "content.label",
    "algorithm.name",
    "picture.font",
    "band.label",
}


def said(table: dict[str, Any], path: tuple[str, ...] = ()) -> set[str]:
    """The texts of a template that a reader sees; public codes keep their meanings."""
    found: set[str] = set()
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, dict):
            if "scheme" in value:
                found |= {".".join(here)} if value["scheme"].startswith("99") else set()
            else:
                found |= said(value, here)
        elif isinstance(value, str) and re.search(r"[A-Za-z]{2}", re.sub(r"\{\w+\}|#\w+", "", value)):
            found.add(".".join(here))
    return found - CONSTANT


def translated(table: dict[str, Any], path: tuple[str, ...] = ()) -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, dict) and set(value) != {"meaning"} and set(value) != {"value", "meaning"}:
            found |= translated(value, here)
        else:
            found.add(".".join(here))
    return found


def test_the_shipped_languages_are_those_that_were_promised() -> None:
    assert languages(templates_dir()) == (ENGLISH, *OTHERS)


@pytest.mark.parametrize("file", sorted(path.name for path in templates_dir().glob("*.toml")))
@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language: str, file: str) -> None:
    english = tomllib.loads((templates_dir() / file).read_text(encoding="utf-8"))
    other = tomllib.loads((templates_dir() / language / file).read_text(encoding="utf-8"))
    assert said(english) - translated(other) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_a_report_speaks_the_language_and_says_which(language: str) -> None:
    source = us_image(instance_number=1)
    templates = load_templates(templates_dir(), language)
    images = [analysed(source, {1: [(1, LARGE, MALIGNANT)]}), refused(us_image())]
    objects = encode(study(images[0]), [source], templates, settings=ResultSettings(language=language))
    report = objects[-1].dataset
    assert str(report.ContentSequence[0].ConceptCodeSequence[0].CodeValue).startswith(language)
    words = texts(report)
    assert templates.sr.document.disclaimer in words
    assert any("80,0 %" in text for text in words)
    # What cannot be written in the source's character set is written in UTF-8.
    assert report.SpecificCharacterSet in {"ISO_IR 100", "ISO_IR 192"}
    english = load_templates(templates_dir())
    assert report.SOPInstanceUID != encode(study(images[0]), [source], english)[-1].dataset.SOPInstanceUID
    page = html.unescape(render_page(study(*images), {}, templates))
    assert templates.page_words.text.lesions in page
    assert english.page_words.text.lesions not in page


@pytest.mark.parametrize("language", [ENGLISH, *OTHERS])
def test_the_font_has_every_letter_of_the_language(language: str) -> None:
    templates = load_templates(templates_dir(), language)
    font = templates.preview.picture.font.at(20)
    missing = np.asarray(font.getmask("\U0010fffd"))
    words = [str(value) for value in vars(templates.preview.text).values()]
    words += [templates.wording.product.disclaimer, *templates.wording.classes.values()]
    for letter in sorted(set("".join(words))):
        drawn = np.asarray(font.getmask(letter))
        assert drawn.shape != missing.shape or (drawn != missing).any(), letter


def test_a_picture_in_another_language_is_another_picture() -> None:
    image = analysed(us_image(), {1: [(1, LARGE, BENIGN)]})
    pictures = {render_preview(image, load_templates(templates_dir(), one)) for one in (ENGLISH, *OTHERS)}
    assert len(pictures) == 1 + len(OTHERS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(templates_dir(), tmp_path / "templates"))


def test_what_a_language_leaves_out_is_said_in_english(folder: Path) -> None:
    (folder / "nl").mkdir()
    (folder / "nl" / "wording.toml").write_text('[classes]\nmalignant = "kwaadaardig"\n', encoding="utf-8")
    wording = load_templates(folder, "nl").wording
    assert list(wording.classes.values()) == ["normal", "benign", "kwaadaardig"]


def test_a_fault_is_named_with_the_file_of_the_language_and_its_line(folder: Path) -> None:
    file = folder / "de" / "sr_tid1500.toml"
    text = file.read_text(encoding="utf-8").replace("{lesions} Läsion", "{lesion} Läsion")
    file.write_text(text, encoding="utf-8")
    line = text[: text.index("{lesion} Läsion")].count("\n") + 1
    with pytest.raises(TemplateError) as caught:
        load_templates(folder, "de")
    assert f"{Path('de') / 'sr_tid1500.toml'}, line {line}, summary.found: unknown placeholder" in str(
        caught.value
    )
    load_templates(folder, "fr")


def test_an_unknown_key_of_a_language_is_refused(folder: Path) -> None:
    with (folder / "fr" / "wording.toml").open("a", encoding="utf-8") as file:
        file.write('\n[colors]\nred = "rouge"\n')
    with pytest.raises(TemplateError, match=r"fr.wording\.toml, line \d+, colors: unknown key"):
        load_templates(folder, "fr")


def test_a_language_without_words_is_refused_and_the_others_are_named() -> None:
    with pytest.raises(TemplateError, match=r"no words in the language 'it'") as caught:
        load_templates(templates_dir(), "it")
    assert "en, de, es, fr, pt" in str(caught.value)
