"""What the viewer that many sites use shows: SEG and SR over the image, captures, and the document."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.domain import StudyResult
from cad_node.encode import load_templates, render_preview
from cad_node.resources import templates_dir
from tests import ohif
from tests.factories import Ellipse, us_cine, us_image, us_study, write
from tests.integration.test_encode_validators import ONE, TWO, encoded
from tests.peers import Orthanc
from tests.results import BENIGN, LARGE, SMALL, analysed, refused, study

pytestmark = [
    pytest.mark.orthanc,
    pytest.mark.slow,
    pytest.mark.skipif(bool(ohif.missing()), reason=ohif.missing() or "nothing is missing"),
    # playwright's own event loop
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]

ARTEFACTS = ohif.ROOT / "test-artefacts"
# Where the factory draws speckle in an image of 240 by 320: rows from 28, columns from 20 to 300.
TOP, LEFT, RIGHT = 28, 20, 300
# Right of the list of series and below the tool bar, in a window of 1000 by 640.
VIEWPORT = slice(60, 630), slice(300, 940)

SECTORS = 24

Picture = NDArray[np.int16]
# What the overlay should cover, and in which colour: red is malignant.
Lesions = Sequence[tuple[Ellipse, str]]


class Screen:
    """OHIF over a PACS of its own."""

    def __init__(self, pacs: Orthanc, address: str, page: Any) -> None:
        self.pacs, self.address, self.page = pacs, address, page

    def store(self, files: Sequence[Path]) -> None:
        for file in files:
            request = urllib.request.Request(
                f"{self.pacs.url}/instances", data=file.read_bytes(), method="POST"
            )
            urllib.request.urlopen(request, timeout=30).close()

    def open(self, study_instance_uid: str, until: Callable[[Picture], bool], protocol: str = "") -> Picture:
        """Show a study and wait until the picture is as it should be, or the deadline."""
        self.page.goto(
            f"{self.address}/viewer?StudyInstanceUIDs={study_instance_uid}{protocol}", wait_until="commit"
        )
        return ohif.wait_for(self.page, until)

    def open_series(self, series_number: int, until: Callable[[Picture], bool]) -> Picture:
        """Show a series of the study that is open, by its number."""
        self.page.get_by_text(f"S:{series_number}").first.dblclick()
        return ohif.wait_for(self.page, until)

    def next_frame(self, before: Picture, until: Callable[[Picture], bool]) -> Picture:
        """Scroll on by one frame and wait until another picture is as it should be."""
        self.page.mouse.move(620, 340)
        self.page.mouse.wheel(0, 100)
        return ohif.wait_for(
            self.page, lambda shown: bool(np.any(shown[VIEWPORT] != before[VIEWPORT])) and until(shown)
        )


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    pacs = Orthanc(tmp_path_factory.mktemp("pacs"))
    pacs.start()
    try:
        with ohif.serve(pacs.http_port) as address, ohif.viewer(address) as page:
            yield Screen(pacs, address, page)
    finally:
        pacs.stop(clean=False)


def has_image(shown: Picture) -> bool:
    part = shown[VIEWPORT]
    grey = (ohif.colourfulness(part) < 12) & (part.mean(axis=-1) > 40)
    return bool(grey.mean() > 0.3)


def place(shown: Picture, shape: Ellipse, *, larger: float = 0) -> NDArray[np.bool_]:
    """Where an ellipse of the image is on the screen, found by the edges of the speckle."""
    part = shown[VIEWPORT].mean(axis=-1) > 30
    columns = np.flatnonzero(part.mean(axis=0) > 0.4) + VIEWPORT[1].start
    rows = np.flatnonzero(part.mean(axis=1) > 0.6) + VIEWPORT[0].start
    scale = (columns[-1] + 1 - columns[0]) / (RIGHT - LEFT)
    on_screen = Ellipse(
        rows[0] + (shape.row + 0.5 - TOP) * scale,
        columns[0] + (shape.column + 0.5 - LEFT) * scale,
        (shape.row_radius + larger) * scale,
        (shape.column_radius + larger) * scale,
    )
    return on_screen.mask(*shown.shape[:2])


def fault(without: Picture, shown: Picture, lesions: Lesions) -> str:
    """What is wrong with the overlay; empty where it covers the lesions, in the colour of their class, only."""
    changed = ohif.colourfulness(shown) - ohif.colourfulness(without) > 20
    elsewhere = np.zeros(changed.shape, bool)
    elsewhere[VIEWPORT] = True
    elsewhere[: np.flatnonzero(place(without, LARGE).any(axis=1))[0] - 130] = False  # the cine player
    for shape, colour in lesions:
        inside = place(without, shape, larger=-3)
        if changed[inside].mean() < 0.95:
            return f"only {changed[inside].mean():.0%} of {shape} is covered"
        red, green, _ = shown[inside].mean(axis=0)
        if (red > green + 20) != (colour == "red") or (green > red + 20) != (colour == "green"):
            return f"{shape} is not {colour}"
        elsewhere &= ~place(without, shape, larger=4)
    if changed[elsewhere].mean() > 0.002:
        return f"{changed[elsewhere].mean():.1%} of the rest is covered"
    return ""


def outline_fault(without: Picture, shown: Picture, shape: Ellipse) -> str:
    """What is wrong with the outline of a report; empty where it runs all around the lesion and nowhere else."""
    changed = ohif.colourfulness(shown) - ohif.colourfulness(without) > 20
    band = place(without, shape, larger=2) & ~place(without, shape, larger=-2)
    rows, columns = np.nonzero(band)
    row, column = np.mgrid[: shown.shape[0], : shown.shape[1]]
    angle = np.arctan2(row - rows.mean(), column - columns.mean())
    sector = ((angle + np.pi) / (2 * np.pi) * SECTORS).astype(int) % SECTORS
    # Dashes one pixel wide, in a band of about nine.
    bare = [one for one in range(SECTORS) if changed[band & (sector == one)].mean() < 0.05]
    if bare:
        return f"no outline in {len(bare)} of {SECTORS} sectors"
    if changed[place(without, shape, larger=-4)].mean() > 0.01:
        return "the inside is covered"
    # The figures are written to the right of the outline, above and below of which is nothing.
    left = np.zeros(changed.shape, bool)
    top = rows.min() - (shape.row - shape.row_radius - TOP) / shape.row_radius * np.ptp(rows) / 2
    left[
        int(top) + 4 : VIEWPORT[0].stop - 50, VIEWPORT[1].start : int(columns.min() + np.ptp(columns) * 0.7)
    ] = True
    if changed[left & ~place(without, shape, larger=4)].mean() > 0.005:
        return "something else is drawn"
    if changed[rows.min() : rows.max() + 80, columns.max() + 8 :].sum() < 500:
        return "no figures are written"
    return ""


def show(
    screen: Screen, folder: Path, name: str, result: StudyResult, source: Dataset, lesions: Lesions
) -> tuple[Picture, Picture]:
    """The study before and after its SEG arrived; the pictures are kept."""
    screen.store([write(source, folder / "source")])
    without = screen.open(result.study_instance_uid, has_image)
    keep(f"{name}-without", without)
    screen.store(encoded((result, [source]), folder / "results"))
    shown = screen.open(
        result.study_instance_uid,
        lambda picture: has_image(picture) and not fault(without, picture, lesions),
        "&hangingprotocolId=@ohif/seg",
    )
    keep(name, shown)
    assert has_image(without)
    assert fault(without, without, lesions) != ""
    assert fault(without, shown, lesions) == ""
    return without, shown


def keep(name: str, shown: Picture) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    Image.fromarray(shown.astype(np.uint8)).save(ARTEFACTS / f"ohif-{name}.png")


def test_two_lesions_of_a_grey_image_are_shown(screen: Screen, tmp_path: Path) -> None:
    source = us_image()
    result = study(analysed(source, {1: TWO}))
    show(screen, tmp_path, "grey", result, source, [(LARGE, "red"), (SMALL, "green")])


def test_a_lesion_of_a_colour_image_without_scale_is_shown(screen: Screen, tmp_path: Path) -> None:
    source = us_image(photometric="RGB", regions=())
    result = study(analysed(source, {1: ONE}, spacing=None))
    show(screen, tmp_path, "colour", result, source, [(LARGE, "red")])


def test_lesions_of_a_cine_are_shown_in_their_frames_only(screen: Screen, tmp_path: Path) -> None:
    source = us_cine(frames=3)
    result = study(analysed(source, {1: ONE, 3: [*ONE, (2, SMALL, BENIGN)]}))
    without, shown = show(screen, tmp_path, "cine", result, source, [(LARGE, "red")])
    later: list[Lesions] = [[], [(LARGE, "red"), (SMALL, "green")]]
    for frame_number, lesions in enumerate(later, start=2):
        shown = screen.next_frame(shown, lambda picture, of=lesions: not fault(without, picture, of))
        keep(f"cine-frame-{frame_number}", shown)
        assert fault(without, shown, lesions) == ""


def test_the_outline_and_the_figures_of_a_report_are_shown(screen: Screen, tmp_path: Path) -> None:
    source = us_image()
    result = study(analysed(source, {1: ONE}))
    screen.store([write(source, tmp_path / "source"), encoded((result, [source]), tmp_path / "results")[-1]])
    without = screen.open(result.study_instance_uid, has_image)
    keep("report-without", without)
    shown = screen.open_series(
        9002, lambda picture: has_image(picture) and not outline_fault(without, picture, LARGE)
    )
    keep("report", shown)
    assert has_image(without)
    assert outline_fault(without, without, LARGE) != ""
    assert outline_fault(without, shown, LARGE) == ""
    # The same outline a few pixels away would be found out.
    assert outline_fault(without, np.roll(shown, 8, axis=1), LARGE) != ""


def test_a_report_of_a_study_in_which_nothing_was_analysed_leaves_the_image_on_the_screen(
    screen: Screen, tmp_path: Path
) -> None:
    source = us_image()
    result = study(refused(source))
    screen.store([write(source, tmp_path / "source"), encoded((result, [source]), tmp_path / "results")[-1]])
    without = screen.open(result.study_instance_uid, has_image)
    # The frame around the whole image, which says that this is what was not analysed.
    shown = screen.open_series(
        9002,
        lambda picture: (
            has_image(picture)
            and bool((ohif.colourfulness(picture) - ohif.colourfulness(without) > 60).sum() > 300)
        ),
    )
    keep("report-nothing-analysed", shown)
    assert has_image(shown)
    assert (ohif.colourfulness(shown) - ohif.colourfulness(without) > 60).sum() > 300


def test_a_segmentation_of_a_series_is_shown_on_each_of_its_images(screen: Screen, tmp_path: Path) -> None:
    sources = us_study(images=2)
    for number, source in enumerate(sources, start=1):
        source.InstanceNumber = number
    result = study(analysed(sources[0], {1: ONE}), analysed(sources[1], {1: [(1, SMALL, BENIGN)]}))
    screen.store([write(source, tmp_path / "source") for source in sources])
    without = screen.open(result.study_instance_uid, has_image)
    keep("series-without", without)
    files = encoded((result, sources), tmp_path / "results", ["seg"], seg_scope="series")
    assert len(files) == 1
    screen.store(files)
    shown = screen.open(
        result.study_instance_uid,
        lambda picture: has_image(picture) and not fault(without, picture, [(LARGE, "red")]),
        "&hangingprotocolId=@ohif/seg",
    )
    keep("series", shown)
    assert fault(without, shown, [(LARGE, "red")]) == ""
    shown = screen.next_frame(shown, lambda picture: not fault(without, picture, [(SMALL, "green")]))
    keep("series-second-image", shown)
    assert fault(without, shown, [(SMALL, "green")]) == ""


SOFT = ImageFilter.GaussianBlur(3)


def capture_fault(shown: Picture, expected: NDArray[np.uint8]) -> str:
    """What is wrong with a capture on the screen; empty where its pixels are there, fitted to the width."""
    part = shown[60:630, 289:961]  # as wide as the viewport, between its borders
    lit = part.max(axis=-1) > 8
    rows = np.flatnonzero(lit.mean(axis=1) > 0.7)
    if not len(rows):
        return "nothing is shown"
    columns = np.flatnonzero(lit[rows[0] : rows[-1] + 1].mean(axis=0) > 0.7)
    if not len(columns):
        return "nothing is shown"
    different = float(difference(part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], expected).mean())
    return f"its pixels differ by {different:.1f}" if different > 6 else ""


def difference(seen: Picture, expected: NDArray[np.uint8]) -> Picture:
    """How far each pixel of a part of the screen is from what should be there; all far where its shape is another."""
    size = (seen.shape[1], seen.shape[0])
    if abs(size[0] / size[1] / (expected.shape[1] / expected.shape[0]) - 1) > 0.03:
        return np.full_like(seen, 255)
    fitted = np.asarray(Image.fromarray(expected).resize(size, Image.Resampling.BILINEAR))
    # Smoothed, for the tissue of these images is noise, which two ways of scaling draw differently.
    smooth = [
        np.asarray(Image.fromarray(one.astype(np.uint8)).filter(SOFT), np.int16) for one in (seen, fitted)
    ]
    return np.abs(smooth[0] - smooth[1])


def test_a_capture_is_shown_as_it_was_drawn(screen: Screen, tmp_path: Path) -> None:
    source = us_image()
    result = study(analysed(source, {1: ONE}))
    files = encoded((result, [source]), tmp_path / "results", ["secondary_capture"])
    screen.store([write(source, tmp_path / "source"), *files])
    of_study, of_image = (dcmread(file).pixel_array for file in files)
    screen.open(result.study_instance_uid, has_image)
    shown = screen.open_series(9004, lambda picture: not capture_fault(picture, of_study))
    keep("capture-of-study", shown)
    assert capture_fault(shown, of_study) == ""
    shown = screen.next_frame(shown, lambda picture: not capture_fault(picture, of_image))
    keep("capture", shown)
    assert capture_fault(shown, of_image) == ""
    assert capture_fault(shown, of_study) != ""


def document_fault(shown: Picture, figure: NDArray[np.uint8]) -> str:
    """What is wrong with a document on the screen; empty where a page has words, and below them the figure."""
    part = shown[60:630, 289:961]
    white = part.min(axis=-1) > 240
    columns = np.flatnonzero(white.mean(axis=0) > 0.5)
    if len(columns) < 200:
        return "no page is shown"
    white = white[:, columns[0] : columns[-1] + 1]
    rows = np.flatnonzero(white.mean(axis=1) > 0.95)
    # The figure is the thickest of what is not white: lines of text are thin.
    dark = rows[0] + np.flatnonzero(white[rows[0] : rows[-1]].mean(axis=1) < 0.35)
    figure_rows = max(np.split(dark, np.flatnonzero(np.diff(dark) > 1) + 1), key=len)
    if len(figure_rows) < 50:
        return "the page has no figure"
    top, bottom = figure_rows[0], figure_rows[-1] + 1
    beside = columns[0] + np.flatnonzero(white[top:bottom].mean(axis=0) < 0.5)
    if (~white[rows[0] : top]).mean() < 0.01:
        return "there are no words above the figure"
    # Of its outline is but one pixel in a hundred.
    different = np.percentile(difference(part[top:bottom, beside[0] : beside[-1] + 1], figure), 99)
    return f"pixels of the figure differ by {different:.0f}" if different > 8 else ""


def test_a_document_is_opened_with_its_words_and_its_figure(screen: Screen, tmp_path: Path) -> None:
    source = us_image()
    result = study(analysed(source, {1: ONE}))
    preview = render_preview(result.images[0], load_templates(templates_dir()))
    assert preview is not None
    figure = np.asarray(Image.open(BytesIO(preview)).convert("RGB"))
    files = encoded((result, [source]), tmp_path / "results", ["pdf"])
    screen.store([write(source, tmp_path / "source"), *files])
    without = screen.open(result.study_instance_uid, has_image)
    shown = screen.open_series(9005, lambda picture: not document_fault(picture, figure))
    keep("document", shown)
    assert document_fault(without, figure) == "no page is shown"
    assert document_fault(shown, figure) == ""
    # The same figure with the lesion elsewhere would be found out.
    assert document_fault(shown, np.ascontiguousarray(figure[::-1])) != ""
