from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cad_node.domain import Box, Description, ImageResult, PixelSpacing, Probabilities
from cad_node.encode import Templates, preview, render_preview
from tests.factories import Ellipse, us_cine, us_image
from tests.results import BENIGN, LARGE, MALIGNANT, SMALL, UNCERTAIN, analysed, refused


def pixels(image: ImageResult, templates: Templates) -> NDArray[np.int16]:
    content = render_preview(image, templates)
    assert content is not None
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int16)


def near(picture: NDArray[np.int16], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(picture - np.array(colour)).max(axis=-1) < 40)


def test_the_outline_has_the_colour_of_the_class_and_lies_on_the_lesion(templates: Templates) -> None:
    picture = pixels(analysed(us_image(), {1: [(1, LARGE, MALIGNANT)]}), templates)
    width = picture.shape[1] - templates.preview.picture.panel_width
    outline = near(picture[:, :width], templates.preview.colours.malignant)
    # Region 10…230 x 20…300 is shown 720 high: the ellipse's left and right ends are at row 120.
    scale = 720 / 220
    row = round((120 + 0.5 - 10) * scale)
    left, right = round((115 - 20) * scale), round((206 - 20) * scale)
    assert outline[row - 3 : row + 4, left - 6 : left + 7].any()
    assert outline[row - 3 : row + 4, right - 6 : right + 7].any()
    inside = outline[row - 30 : row + 30, left + 20 : left + 60]
    assert not inside.any()


def test_each_class_has_its_own_colour(templates: Templates) -> None:
    picture = pixels(analysed(us_image(), {1: [(1, LARGE, MALIGNANT), (2, SMALL, BENIGN)]}), templates)
    colours = templates.preview.colours
    assert near(picture, colours.malignant).sum() > 200
    assert near(picture, colours.benign).sum() > 200
    assert near(picture, colours.axis).sum() > 50


def test_an_uncertain_lesion_has_a_colour_of_its_own(templates: Templates) -> None:
    picture = pixels(analysed(us_image(), {1: [(1, LARGE, UNCERTAIN)]}), templates)
    assert near(picture, templates.preview.colours.uncertain).sum() > 200
    assert not near(picture, templates.preview.colours.benign).any()


def test_nothing_outside_the_analysed_region_is_shown(templates: Templates) -> None:
    image = analysed(us_image())
    frame = image.key_frame
    assert frame is not None
    inside = np.zeros_like(frame.pixels)
    inside[frame.region.slices] = 60
    outside = np.where(inside == 0, 255, inside).astype(np.uint8)
    one = render_preview(replace(image, key_frame=replace(frame, pixels=inside)), templates)
    other = render_preview(replace(image, key_frame=replace(frame, pixels=outside)), templates)
    assert one == other


def test_an_image_that_was_not_analysed_has_no_preview(templates: Templates) -> None:
    assert render_preview(refused(us_image()), templates) is None


def test_non_square_pixels_are_shown_as_they_lie_in_the_body(templates: Templates) -> None:
    square = pixels(analysed(us_image(), spacing=PixelSpacing(0.1, 0.1)), templates)
    wide = pixels(analysed(us_image(), spacing=PixelSpacing(0.1, 0.2)), templates)
    panel = templates.preview.picture.panel_width
    longest = templates.preview.picture.longest_width
    assert wide.shape[1] - panel == pytest.approx(min(2 * (square.shape[1] - panel), longest), abs=2)


def test_the_aspect_of_an_image_without_a_scale_is_shown(templates: Templates) -> None:
    image = analysed(us_image(), spacing=None)
    assert image.key_frame is not None
    narrow = replace(image, key_frame=replace(image.key_frame, aspect=2.0))
    panel = templates.preview.picture.panel_width
    square = pixels(image, templates).shape[1] - panel
    assert pixels(narrow, templates).shape[1] - panel == pytest.approx(square / 2, abs=2)


def test_many_lesions_and_lesions_at_the_border_are_drawn(templates: Templates) -> None:
    drawn = [(n, Ellipse(25 + 30 * n, 22 + 45 * n, 12, 18), BENIGN) for n in range(1, 7)]
    drawn.append((7, Ellipse(12, 22, 8, 12), MALIGNANT))
    picture = pixels(analysed(us_image(), {1: drawn}), templates)
    assert near(picture, templates.preview.colours.malignant).any()


def test_a_tiny_region_and_a_cine_are_drawn(templates: Templates) -> None:
    image = analysed(us_cine(frames=3), {2: [(1, Ellipse(120, 160, 2, 3), BENIGN)]}, spacing=None)
    frame = image.key_frame
    assert frame is not None
    assert frame.frame_number == 2
    small = replace(image, key_frame=replace(frame, region=Box(110, 130, 150, 170)))
    assert pixels(small, templates).shape[0] >= templates.preview.picture.height


def test_a_picture_of_part_of_an_image_says_so(templates: Templates) -> None:
    whole = analysed(us_image(), {1: [(1, LARGE, MALIGNANT)]})
    part = replace(whole, left_out=(Box(0, 9, 0, 9),))
    panel = slice(-templates.preview.picture.panel_width, None)
    amber = templates.preview.colours.axis
    assert near(pixels(part, templates)[:, panel], amber).sum() > 100
    assert near(pixels(whole, templates)[:, panel], amber).sum() == 0


def test_nothing_in_the_panel_is_written_over_anything_else(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most that can be said of an image: five lesions, no scale, all cut, part of a loop."""
    drawn = [(n, Ellipse(45 + 35 * n, 22 + 45 * n, 12, 18), BENIGN) for n in range(1, 6)]
    image = analysed(us_cine(frames=2), {1: drawn}, spacing=None, left_out=(Box(0, 9, 0, 9),))
    first = image.frames[0]
    cut = tuple(replace(lesion, description=Description(cut=True)) for lesion in first.lesions)
    image = replace(image, frames=(replace(first, lesions=cut), *image.frames[1:]))
    written = spy(monkeypatch)

    height = pixels(image, templates).shape[0]

    places = [place for place, _ in written]
    assert places == sorted(places)
    assert places[-1] + 1.3 * templates.preview.picture.font_size < height
    assert [text for _, text in written].count(templates.preview.text.cut) == 4


def test_the_probability_is_the_one_that_the_band_goes_by(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.6 % lies in the band below 10 %; rounded to 10 % it would seem to lie in the next."""
    written = spy(monkeypatch)
    shown = Probabilities(0.104, 0.8, 0.096)
    render_preview(analysed(us_image(), {1: [(1, SMALL, shown)]}), templates)
    assert {"9.6 %", "4A"} <= {text for _, text in written}


def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Whatever is written into panels from now on, and how far down."""
    written: list[tuple[float, str]] = []
    write = preview._Panel._write

    def noted(panel: preview._Panel, text: str, *others: Any, **named: Any) -> None:
        written.append((panel._y, text))
        write(panel, text, *others, **named)

    monkeypatch.setattr(preview._Panel, "_write", noted)
    return written
