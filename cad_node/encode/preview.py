"""The picture of one analysed image: what the network saw, the outlines, and the figures beside it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cad_node.domain import Box, CleanFrame, FrameResult, ImageResult, LengthUnit, Lesion
from cad_node.encode.sr_words import band_label
from cad_node.encode.template import PreviewTemplate, Templates
from cad_node.encode.template_text import Colour

# Outlines are drawn this many times larger and shrunk: Pillow draws lines without smoothing.
_SMOOTHING = 3
# Lesions listed in the panel; more are counted.
_MOST_LISTED = 4
_MARGIN = 24
# Height of what the panel says of a lesion, and of each remark below it.
_LESION_LINES, _REMARK_LINES = 10.6, 1.3


def render_preview(image: ImageResult, templates: Templates) -> bytes | None:
    """Return a PNG of the key frame, or None for an image that was not analysed.

    The cleaned frame is cropped to the region that was analysed, so that nothing
    burnt into the original can be in the picture.
    """
    frame, found = image.key_frame, image.key_result
    if frame is None or found is None:
        return None
    template = templates.preview
    lesions = sorted(found.lesions, key=lambda lesion: (-lesion.probabilities.malignant, lesion.number))
    view = _View.of(frame, template)
    picture = view.picture(frame)
    _draw_lesions(picture, view, lesions, template)
    width = picture.width + template.picture.panel_width
    height = max(picture.height, _panel_height(lesions, template, image.is_partial))
    canvas = Image.new("RGB", (width, height), template.colours.background)
    canvas.paste(picture, (0, (height - picture.height) // 2))
    panel = _Panel(canvas, picture.width, templates)
    panel.draw(image, found, lesions)
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG", compress_level=3)  # three times as fast, a tenth larger
    return buffer.getvalue()


@dataclass(frozen=True)
class _View:
    """From source pixels to the picture."""

    box: Box
    scale_rows: float
    scale_columns: float
    size: tuple[int, int]

    @classmethod
    def of(cls, frame: CleanFrame, template: PreviewTemplate) -> _View:
        """Fit the region into the picture; pixels that are not square are shown as they lie in the body."""
        rows, columns = frame.region.shape
        aspect = 1 / frame.pixel_height
        scale = min(template.picture.height / rows, template.picture.longest_width / (columns * aspect))
        width, height = max(1, round(columns * aspect * scale)), max(1, round(rows * scale))
        return cls(frame.region, height / rows, width / columns, (width, height))

    def picture(self, frame: CleanFrame) -> Image.Image:
        """The region of the frame, enlarged."""
        pixels = np.ascontiguousarray(frame.pixels[self.box.slices])
        return Image.fromarray(pixels).resize(self.size, Image.Resampling.LANCZOS).convert("RGB")

    def point(self, row: float, column: float) -> tuple[float, float]:
        """`(x, y)` in the smoothed picture of a place that counts from pixel centres."""
        return (
            (column + 0.5 - self.box.column_start) * self.scale_columns * _SMOOTHING,
            (row + 0.5 - self.box.row_start) * self.scale_rows * _SMOOTHING,
        )


def _draw_lesions(
    picture: Image.Image, view: _View, lesions: list[Lesion], template: PreviewTemplate
) -> None:
    """Outline, axes and number of each lesion, smoothed, on top of the picture."""
    line = template.picture.outline_width * _SMOOTHING
    for lesion in reversed(lesions):
        colour = template.colours.of(lesion.probabilities)
        outline = [view.point(row, column) for row, column in lesion.measurements.contour]
        axes = [
            (view.point(*axis.start), view.point(*axis.end))
            for axis in (lesion.measurements.long_axis, lesion.measurements.short_axis)
        ]
        # Only the part of the picture that the lesion covers is enlarged.
        places = np.array([*outline, *(end for axis in axes for end in axis)])
        low = np.floor(places.min(axis=0) / _SMOOTHING - 3 * line).astype(int)
        high = np.ceil(places.max(axis=0) / _SMOOTHING + 3 * line).astype(int)
        width, height = (int(size) for size in high - low)
        layer = Image.new("RGBA", (width * _SMOOTHING, height * _SMOOTHING), (*colour, 0))
        pen = ImageDraw.Draw(layer)
        corner = low * _SMOOTHING
        moved = [(x - corner[0], y - corner[1]) for x, y in outline]
        pen.line([*moved, moved[0]], fill=(*colour, 255), width=line, joint="curve")
        for start, end in axes:
            _draw_axis(
                pen, np.array([start, end]) - corner, template.colours.axis, max(_SMOOTHING, line // 2)
            )
        small = layer.reduce(_SMOOTHING)
        picture.paste(small, (int(low[0]), int(low[1])), small)
    for lesion in lesions:
        _draw_number(picture, view, lesion, template.colours.of(lesion.probabilities), template)


def _draw_axis(pen: ImageDraw.ImageDraw, ends: NDArray[np.float64], colour: Colour, line: int) -> None:
    """A line with a dot at each end, as calipers have."""
    pen.line([tuple(end) for end in ends], fill=(*colour, 220), width=line)
    for x, y in ends:
        pen.ellipse((x - 1.6 * line, y - 1.6 * line, x + 1.6 * line, y + 1.6 * line), fill=(*colour, 255))


def _draw_number(
    picture: Image.Image, view: _View, lesion: Lesion, colour: Colour, template: PreviewTemplate
) -> None:
    """The lesion's number in a disc, up and to the right of its outline."""
    rows, columns = lesion.measurements.contour[:, 0], lesion.measurements.contour[:, 1]
    x, y = (value / _SMOOTHING for value in view.point(rows.min(), columns.max()))
    radius = template.picture.font_size * 0.75
    x = min(max(x + radius * 0.4, radius + 2), picture.width - radius - 2)
    y = min(max(y - radius * 0.4, radius + 2), picture.height - radius - 2)
    big = Image.new("L", (round(2 * radius) * _SMOOTHING,) * 2, 0)
    ImageDraw.Draw(big).ellipse((0, 0, big.width - 1, big.height - 1), fill=255)
    disc = big.resize((round(2 * radius),) * 2, Image.Resampling.BOX)
    picture.paste(Image.new("RGB", disc.size, colour), (round(x - radius), round(y - radius)), disc)
    ImageDraw.Draw(picture).text(
        (x, y),
        str(lesion.number),
        fill=template.colours.background,
        font=template.picture.font.at(template.picture.font_size),
        anchor="mm",
    )


def _panel_height(lesions: list[Lesion], template: PreviewTemplate, is_partial: bool) -> int:
    """Room for all that the panel may say, in lines of the font."""
    listed = lesions[:_MOST_LISTED]
    remarks = sum((one.measurements.unit is LengthUnit.PIXEL) + one.description.cut for one in listed)
    lines = _LESION_LINES * max(1, len(listed)) + _REMARK_LINES * remarks + (8.4 if is_partial else 7)
    return round(template.picture.font_size * lines) + 2 * _MARGIN


class _Panel:
    """The figures at the right, written from top to bottom."""

    def __init__(self, canvas: Image.Image, left: int, templates: Templates) -> None:
        self._templates = templates
        self._template = templates.preview
        self._words = templates.wording
        self._canvas = canvas
        self._pen = ImageDraw.Draw(canvas)
        self._pen.rectangle((left, 0, canvas.width, canvas.height), fill=self._template.colours.panel)
        self._left, self._right = left + _MARGIN, canvas.width - _MARGIN
        self._y = float(_MARGIN)

    def draw(self, image: ImageResult, found: FrameResult, lesions: list[Lesion]) -> None:
        """Everything that stands in the panel."""
        text, colours, size = self._template.text, self._template.colours, self._template.picture.font_size
        if not lesions:
            self._write(text.no_lesion, 1.2, colours.text, 2.2)
            if found.probabilities.uncertain:
                self._write(
                    self._words.class_name(found.probabilities), 0.95, colours.of(found.probabilities), 1.9
                )
            self._bar(found.probabilities.malignant, colours.of(found.probabilities))
        for lesion in lesions[:_MOST_LISTED]:
            self._lesion(lesion)
        if len(lesions) > _MOST_LISTED:
            self._write(text.more_lesions.format(count=len(lesions) - _MOST_LISTED), 1, colours.faint, 1.6)
        bottom = self._canvas.height - _MARGIN - size * 1.2
        notes: list[tuple[str, Colour]] = []
        if image.is_partial:
            notes.append((text.partly, colours.axis))
        if image.reference.number_of_frames > 1:
            frame = text.frame.format(frame=found.frame_number, frames=image.reference.number_of_frames)
            notes.append((frame, colours.faint))
        if found.annotations_removed:
            notes.append((text.removed.format(count=found.annotations_removed), colours.faint))
        self._y = bottom - size * 1.35 * len(notes) - size * 0.9
        for note, colour in notes:
            self._write(note, 0.85, colour, 1.35)
        self._y = bottom - size * 0.4
        self._pen.line((self._left, self._y, self._right, self._y), fill=colours.faint, width=1)
        self._y = bottom
        self._write(self._words.product.disclaimer, 0.85, colours.text, 1.2)

    def _lesion(self, lesion: Lesion) -> None:
        text, colours = self._template.text, self._template.colours
        sizes = lesion.measurements
        colour = colours.of(lesion.probabilities)
        heading = text.lesion.format(number=lesion.number)
        self._pair(heading, self._words.class_tag(lesion.probabilities), 1.2, 1.9, colours.text, colour)
        self._bar(lesion.probabilities.malignant, colour)
        unit, number = sizes.unit.value, self._words.number
        digits = 1 if sizes.unit is LengthUnit.MILLIMETRE else 0
        for name, value in (
            (text.band, band_label(lesion, self._templates)),
            (text.long_axis, f"{number(sizes.long_axis.length, digits)} {unit}"),
            (text.short_axis, f"{number(sizes.short_axis.length, digits)} {unit}"),
            (text.area, f"{number(sizes.area, digits)} {unit}²"),
        ):
            self._pair(name, value, 0.95, 1.35)
        if sizes.unit is LengthUnit.PIXEL:
            self._write(text.uncalibrated, 0.8, colours.faint, _REMARK_LINES)
        if lesion.description.cut:
            self._write(text.cut, 0.8, colours.axis, _REMARK_LINES)
        self._y += self._template.picture.font_size * 0.9

    def _bar(self, probability: float, colour: Colour) -> None:
        """The probability of cancer as figure and bar."""
        colours, size = self._template.colours, self._template.picture.font_size
        # As exact as the band that stands below it, and as in the report.
        figure = f"{self._words.percent(probability)} %"
        self._pair(self._template.text.probability, figure, 0.95, 1.4)
        height = size * 0.4
        box = (self._left, self._y, self._right, self._y + height)
        self._pen.rounded_rectangle(box, height / 2, fill=colours.background)
        filled = self._left + max(height, (self._right - self._left) * probability)
        self._pen.rounded_rectangle((self._left, self._y, filled, self._y + height), height / 2, fill=colour)
        self._y += size

    def _pair(
        self,
        name: str,
        value: str,
        size: float,
        step: float,
        name_colour: Colour | None = None,
        value_colour: Colour | None = None,
    ) -> None:
        """A name at the left and its value at the right of the same line."""
        colours, font = self._template.colours, self._template.picture
        width = self._pen.textlength(value, font.font.at(font.font_size * size))
        self._write(value, size, value_colour or colours.text, 0, right=True)
        room = max(self._right - self._left - width - font.font_size / 2, 0)
        self._write(name, size, name_colour or colours.faint, step, room=room)

    def _write(
        self,
        text: str,
        size: float,
        colour: Colour,
        step: float,
        *,
        right: bool = False,
        room: float | None = None,
    ) -> None:
        """A line of text, made smaller until it fits the room, then `step` lines down."""
        picture = self._template.picture
        points = picture.font_size * size
        room = self._right - self._left if room is None else room
        while points > picture.font_size * 0.5 and self._pen.textlength(text, picture.font.at(points)) > room:
            points -= 0.5
        x, anchor = (self._right, "rs") if right else (self._left, "ls")
        # On one line, whatever the sizes of its two ends.
        base = self._y + picture.font_size * size
        self._pen.text((x, base), text, fill=colour, font=picture.font.at(points), anchor=anchor)
        self._y += picture.font_size * step
