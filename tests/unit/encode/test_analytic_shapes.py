"""A drawn ellipse of known size comes out of SR and SEG at that size, whatever the scanner's scale."""

import math

import highdicom as hd
import numpy as np
import pytest

from cad_node.read import read_study
from tests.factories import Ellipse, us_image, write
from tests.results import MALIGNANT, analysed, study
from tests.unit.encode.encoding import encode

# Half axes in mm: 7.1 across, 4.3 deep.
ACROSS_MM, DEEP_MM = 7.1, 4.3


@pytest.mark.parametrize(
    ("delta_x_cm", "delta_y_cm"),
    [
        (0.01, 0.01),
        (0.00731, 0.00731),
        (0.0073, -0.0073),
        (-0.0091, 0.0091),
        (0.012, 0.008),
        (0.0064, -0.0103),
    ],
)
def test_ellipse_has_its_size_in_report_and_segmentation(tmp_path, templates, delta_x_cm, delta_y_cm):
    shape = Ellipse(118.3, 160.6, DEEP_MM / abs(10 * delta_y_cm), ACROSS_MM / abs(10 * delta_x_cm))
    source = us_image(delta_x_cm=delta_x_cm, delta_y_cm=delta_y_cm)
    spacing = read_study([write(source, tmp_path)]).images[0].frames[0].spacing
    assert spacing is not None

    result = study(analysed(source, {1: [(1, shape, MALIGNANT)]}, spacing=spacing))
    seg, sr = (one.dataset for one in encode(result, [source], templates))

    area_mm2 = math.pi * ACROSS_MM * DEEP_MM
    report = hd.sr.Comprehensive3DSR.from_dataset(sr)
    (group,) = report.content.get_planar_roi_measurement_groups()
    sizes = {item.name.meaning: float(item.value) for item in group.get_measurements()}
    assert sizes["Long axis"] == pytest.approx(2 * ACROSS_MM, rel=0.01)
    assert sizes["Short axis"] == pytest.approx(2 * DEEP_MM, rel=0.01)
    assert sizes["Area"] == pytest.approx(area_mm2, rel=0.01)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    row_mm, column_mm = (float(value) for value in measures.PixelSpacing)
    segmented = np.count_nonzero(seg.pixel_array) * row_mm * column_mm
    assert segmented == pytest.approx(area_mm2, rel=0.01)
    assert (row_mm, column_mm) == pytest.approx((abs(10 * delta_y_cm), abs(10 * delta_x_cm)))
