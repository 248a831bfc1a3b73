from io import BytesIO

import pytest
from pydicom import dcmread

from cad_node.receive.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, file_header
from tests.factories import us_image
from tests.receiving import EXPLICIT, US_IMAGE, dataset_bytes


def test_header_and_data_set_are_a_file_that_pydicom_reads():
    image = us_image(rows=32, columns=32)
    encoded = dataset_bytes(image)

    file = dcmread(
        BytesIO(file_header(US_IMAGE, image.SOPInstanceUID, EXPLICIT, "SCANNER", "CADNODE") + encoded)
    )

    assert file.file_meta.MediaStorageSOPClassUID == US_IMAGE
    assert file.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
    assert file.file_meta.TransferSyntaxUID == EXPLICIT
    assert file.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert file.file_meta.SendingApplicationEntityTitle == "SCANNER"
    assert file.file_meta.ReceivingApplicationEntityTitle == "CADNODE"
    assert file.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert file.pixel_array.shape == (32, 32)


@pytest.mark.parametrize("calling", ["A", "AB", "SIXTEEN-LETTERS-", "LONGER-THAN-SIXTEEN"])
def test_every_value_has_even_length_and_fits(calling):
    header = file_header(US_IMAGE, "1.2.3", EXPLICIT, calling, "CADNODE")

    assert len(header) % 2 == 0
    assert dcmread(BytesIO(header)).file_meta.SourceApplicationEntityTitle == calling[:16]


def test_our_identification_keeps_to_the_limits_of_its_elements():
    assert len(IMPLEMENTATION_CLASS_UID) <= 64
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
