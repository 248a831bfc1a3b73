"""One file to one copy, with a detector that a test can see through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom import dcmread
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from cad_node.clean_copy import Copier, CopyPlan, CopyResult, CopyStatus, CopyTask
from cad_node.deidentify.options import Encoding, Keep
from cad_node.domain import Annotation, Box
from cad_node.pipeline.clean import Cleaner
from cad_node.pipeline.clean.marks import Mark, Picture
from cad_node.read import decode_frames
from cad_node.read.headers import read_with_pixels
from cad_node.settings import NodeSettings, PipelineSettings
from tests.factories import paint_flow, speckle, us_cine, us_image, write

REGION = Box(28, 236, 20, 300)  # the factories' own
SPOT = Box(60, 70, 80, 140)


class WhiteSpots:
    """Marks what is white."""

    def describe(self) -> str:
        return "white"

    def find(self, picture: Picture) -> list[Mark]:
        mask = picture.grey == 255
        return (
            [Mark(Annotation(Box(0, mask.shape[0], 0, mask.shape[1]), "text", 1.0), mask)]
            if mask.any()
            else []
        )


def copier(encoding: Encoding | None = None, *, readable: bool = False) -> Copier:
    cleaner = Cleaner(PipelineSettings(verify_cleaning=False), detectors=[WhiteSpots()])
    return Copier(
        NodeSettings(),
        CopyPlan(b"a secret of some length", Keep(), encoding),
        cleaner,
        lambda _grey: readable,
    )


def with_spot(photometric: str = "RGB", frames: int | None = None) -> np.ndarray:
    drawn = np.stack([np.minimum(speckle(240, 320, seed=seed), 200) for seed in range(frames or 1)])
    if photometric == "RGB":
        drawn = np.repeat(drawn[..., None], 3, axis=-1)
        drawn[..., 0] = np.minimum(drawn[..., 0].astype(int) + 5, 205)
    drawn[(slice(None), *SPOT.slices)] = 255
    return drawn.astype(np.uint8) if frames else drawn[0].astype(np.uint8)


def task(path: Path, folder: Path, comparison: bool = False) -> CopyTask:
    return CopyTask(path, "name", folder / "copy.part", folder / "comparison.png" if comparison else None)


def outside_spot_inside_region(shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[REGION.slices] = True
    mask[SPOT.row_start - 6 : SPOT.row_stop + 6, SPOT.column_start - 6 : SPOT.column_stop + 6] = False
    return mask


@pytest.mark.parametrize("photometric", ["RGB", "MONOCHROME2"])
@pytest.mark.parametrize("frames", [None, 5])
@pytest.mark.parametrize("encoding", [None, Encoding.RLE])
def test_only_the_marks_change_on_every_frame(
    photometric: str, frames: int | None, encoding: Encoding | None, tmp_path: Path
) -> None:
    pixels = with_spot(photometric, frames)
    source = write(us_image(pixels=pixels, photometric=photometric), tmp_path)

    result = copier(encoding).process(task(source, tmp_path))

    assert (result.status, result.frames, result.marks_removed) == (CopyStatus.CLEANED, frames or 1, 1)
    written = decode_frames(read_with_pixels(tmp_path / "copy.part"))
    kept = outside_spot_inside_region((240, 320))
    for before, after in zip(pixels if frames else [pixels], written, strict=True):
        assert np.array_equal(after[kept], before[kept])
        assert after[SPOT.slices].max() < 255
        blank = np.ones((240, 320), bool)
        blank[REGION.slices] = False
        assert not after[blank].any()
    dataset = dcmread(tmp_path / "copy.part")
    assert dataset.file_meta.TransferSyntaxUID == (RLELossless if encoding else "1.2.840.10008.1.2.1")
    assert dataset.BurnedInAnnotation == "NO"
    assert result.output == f"{dataset.PatientID}/{dataset.StudyInstanceUID}/{dataset.SOPInstanceUID}.dcm"


def test_a_lossy_source_comes_out_lossless_and_says_what_it_lost(tmp_path: Path) -> None:
    source = us_cine(frames=2, photometric="YBR_FULL_422", transfer_syntax=JPEGBaseline8Bit)

    result = copier().process(task(write(source, tmp_path), tmp_path))

    dataset = dcmread(tmp_path / "copy.part")
    assert result.status is CopyStatus.CLEANED
    assert dataset.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


@pytest.mark.parametrize("broken", ["text", "cleaning", "decoding", "header"])
def test_what_fails_writes_nothing(broken: str, tmp_path: Path) -> None:
    source = write(us_image(pixels=with_spot(), photometric="RGB"), tmp_path)
    subject = copier(readable=broken == "text")
    if broken == "cleaning":

        class Broken(WhiteSpots):
            def find(self, picture: Picture) -> list[Mark]:
                raise RuntimeError

        subject._cleaner.detectors = [Broken()]
    if broken == "decoding":
        source.write_bytes(source.read_bytes()[:-1000])
    if broken == "header":
        source.write_bytes(b"\0" * 128 + b"DICM" + b"garbage")

    result = subject.process(task(source, tmp_path, comparison=True))

    reasons = {"text": "cleaning_failed", "cleaning": "cleaning_failed", "decoding": "undecodable"}
    assert result.status is CopyStatus.FAILED
    assert result.reason == reasons.get(broken, "unreadable_file")
    assert result.output == ""
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_what_the_gate_refuses_is_not_copied(tmp_path: Path) -> None:
    flow = us_image(photometric="RGB", flow_box=(80, 180, 100, 220))

    result = copier().process(task(write(flow, tmp_path), tmp_path))

    assert result == CopyResult(CopyStatus.REFUSED, "colour_doppler", seconds=result.seconds)
    assert not (tmp_path / "copy.part").exists()


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("JPEG", "RGB")])
def test_a_plain_picture_becomes_a_png_without_its_texts(form: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "Doe Jane.picture"
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", "Doe Jane")
    options = {"pnginfo": texts} if form == "PNG" else {"comment": b"Doe Jane", "quality": 100}
    Image.fromarray(with_spot("RGB")).convert(mode).save(path, form, **options)

    result = copier().process(task(path, tmp_path))

    assert (result.status, result.output) == (CopyStatus.CLEANED, "png/name.png")
    assert b"Doe" not in (tmp_path / "copy.part").read_bytes()
    with Image.open(tmp_path / "copy.part") as written:
        assert written.mode == ("L" if mode == "L" else "RGB")
        assert np.asarray(written)[SPOT.slices].max() < 255


def test_a_plain_picture_of_flow_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.png"
    Image.fromarray(paint_flow(with_spot("RGB"), (80, 180, 100, 220))).save(path)

    assert copier().process(task(path, tmp_path)).reason == "colour_doppler"


def test_a_deep_picture_is_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.zeros((50, 50), np.uint16)).save(path)

    assert copier().process(task(path, tmp_path)).reason == "undecodable"


def test_before_after_and_mask_stand_side_by_side(tmp_path: Path) -> None:
    pixels = with_spot("RGB", 3)
    source = write(us_image(pixels=pixels, photometric="RGB"), tmp_path)

    copier().process(task(source, tmp_path, comparison=True))

    with Image.open(tmp_path / "comparison.png") as drawn:
        panels = np.split(np.asarray(drawn), 3, axis=1)
    assert np.array_equal(panels[0], pixels[0])
    assert panels[1][SPOT.slices].max() < 255
    assert (panels[2][SPOT.slices] == 255).all()
    assert not panels[2][:20].any()


def test_the_secret_stands_in_no_repr() -> None:
    assert "secret" not in repr(CopyPlan(b"a secret of some length", Keep())).replace("secret=", "")
