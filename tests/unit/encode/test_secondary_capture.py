from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage

from cad_node.domain import LesionClass
from cad_node.encode import EncodedObject, Templates, encode_study, render_preview
from cad_node.settings import ResultSettings, TransferSyntax
from cad_node.variants import Variant
from tests.factories import us_cine, us_image
from tests.results import LARGE, MADE_AT, MALIGNANT, analysed, refused, study
from tests.unit.encode.encoding import encode

VARIANT = Variant("secondary_capture")
ONE = [(1, LARGE, MALIGNANT)]


def captures(templates: Templates, *sources: Dataset, found: bool = True) -> tuple[EncodedObject, ...]:
    images = [analysed(source, {1: ONE} if found else None) for source in sources]
    return encode(study(*images), sources, templates, variants=[VARIANT])


def test_the_study_comes_first_then_each_image_with_a_lesion(templates: Templates) -> None:
    first = us_image()
    second = us_image(study_instance_uid=first.StudyInstanceUID, instance_number=2)
    made = captures(templates, first, second)
    assert [one.sources for one in made] == [(), (first.SOPInstanceUID,), (second.SOPInstanceUID,)]
    assert [one.dataset.InstanceNumber for one in made] == [1, 2, 3]
    assert len({one.dataset.SeriesInstanceUID for one in made}) == 1
    assert {one.dataset.SOPClassUID for one in made} == {SecondaryCaptureImageStorage}
    assert len(made[0].dataset.SourceImageSequence) == 2


def test_a_study_without_a_lesion_still_says_so(templates: Templates) -> None:
    source = us_image()
    assert [one.sources for one in captures(templates, source, found=False)] == [()]
    nothing = encode(study(refused(source)), [source], templates, variants=[VARIANT])
    assert [one.sources for one in nothing] == [()]


def test_the_picture_is_the_preview_with_a_legend_under_it(templates: Templates) -> None:
    source = us_image()
    image = analysed(source, {1: ONE})
    preview = render_preview(image, templates)
    assert preview is not None
    drawn = np.asarray(Image.open(io.BytesIO(preview)).convert("RGB"))
    made = encode(study(image), [source], templates, variants=[VARIANT])[1].dataset
    pixels = made.pixel_array
    assert (pixels[: drawn.shape[0]] == drawn).all()
    legend = pixels[drawn.shape[0] :]
    assert legend.shape[0] == templates.secondary_capture.capture.legend_height
    for name in LesionClass:
        colour = getattr(templates.preview.colours, name.value)
        assert (legend == colour).all(axis=-1).sum() > 50


def test_a_preview_that_was_drawn_before_is_not_drawn_again(templates: Templates) -> None:
    source = us_image()
    white = io.BytesIO()
    Image.new("RGB", (900, 700), "white").save(white, "PNG")
    made = encode_study(
        study(analysed(source, {1: ONE})),
        {source.SOPInstanceUID: source},
        templates=templates,
        settings=ResultSettings(),
        variants=[VARIANT],
        previews={str(source.SOPInstanceUID): white.getvalue()},
        made_at=MADE_AT,
    )[1].dataset
    assert (made.pixel_array[:700] == 255).all()


def test_side_age_and_study_are_the_sources(templates: Templates) -> None:
    attributes = {"Laterality": "R", "PatientAge": "053Y", "StudyDescription": "US breast"}
    made = captures(templates, us_image(attributes=attributes))[1].dataset
    assert (made.ImageLaterality, made.PatientAge, made.StudyDescription) == ("R", "053Y", "US breast")
    assert made.PatientOrientation is None
    assert made.BurnedInAnnotation == "NO"
    unknown = captures(templates, us_image(attributes={"Laterality": ""}))[1].dataset
    assert "ImageLaterality" not in unknown
    assert unknown.Laterality is None


@pytest.mark.parametrize(("other", "both"), [("R", "R"), ("L", "B"), ("", None)])
def test_the_capture_of_the_study_is_of_the_sides_of_its_images(
    templates: Templates, other: str, both: str | None
) -> None:
    """Laterality is of the series, and must not differ between its images."""
    first = us_image(attributes={"Laterality": "R"})
    second = us_image(study_instance_uid=first.StudyInstanceUID, attributes={"Laterality": other})
    made = [one.dataset for one in captures(templates, first, second)]
    assert [one.get("ImageLaterality") for one in made] == [both, "R", other or None]
    assert ["Laterality" in one for one in made] == [both is None, False, not other]


def test_a_loop_is_referenced_by_the_frame_that_is_shown(templates: Templates) -> None:
    source = us_cine(frames=3)
    image = analysed(source, {2: ONE})
    made = encode(study(image), [source], templates, variants=[VARIANT])[1].dataset
    assert made.SourceImageSequence[0].ReferencedFrameNumber == 2


def test_what_was_lossy_stays_lossy(templates: Templates) -> None:
    lossy = us_image(photometric="YBR_FULL_422", transfer_syntax=JPEGBaseline8Bit)
    assert captures(templates, lossy)[1].dataset.LossyImageCompression == "01"
    assert captures(templates, us_image())[1].dataset.LossyImageCompression == "00"


@pytest.mark.parametrize("syntax", ["rle", "jpeg-ls", "jpeg-2000"])
def test_compression_changes_no_pixel(syntax: TransferSyntax, templates: Templates) -> None:
    source = us_image()
    result = study(analysed(source, {1: ONE}))
    plain, packed = (
        encode(result, [source], templates, variants=[variant])[1].dataset
        for variant in (VARIANT, Variant("secondary_capture", transfer_syntax=syntax))
    )
    assert packed.file_meta.TransferSyntaxUID.is_compressed
    assert packed.SOPInstanceUID == packed.file_meta.MediaStorageSOPInstanceUID != plain.SOPInstanceUID
    assert len(packed.PixelData) < len(plain.PixelData)
    assert (packed.pixel_array == plain.pixel_array).all()
