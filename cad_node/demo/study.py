"""Makes the demo's study: three BUS-BRA pictures as Ultrasound Image objects.

Each is put on a scanner's screen with a banner that shows an invented patient,
a depth scale and a calibrated region, since that is what has to be dealt with.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

# An ultrasound screen, and where the picture is put on it.
SCREEN_ROWS, SCREEN_COLUMNS = 600, 760
TOP, LEFT = 72, 96
CINE_FRAMES = 16
PATIENT_NAME, PATIENT_ID = "TESTPATIENT^DEMO", "DEMO-0001"


@dataclass(frozen=True)
class _Picture:
    file: str
    # From the distances that the calipers in the picture show.
    mm_per_pixel: float


_BENIGN = _Picture("bus_0814-s.png", 0.083)
_MALIGNANT = _Picture("bus_0676-s.png", 0.125)
_CINE = _Picture("bus_0837-s.png", 0.0825)


def make_demo_study(now: datetime) -> list[Dataset]:
    """Four objects of a new study, complete with file meta information.

    A benign lesion as RGB in JPEG baseline, a malignant one as uncompressed
    MONOCHROME2, a cine loop in JPEG baseline, and a colour Doppler image, which
    the node must refuse. New UIDs at each call; everything else is repeatable.
    """
    study, series = generate_uid(), generate_uid()
    objects = [
        _rgb_jpeg(_screen(_BENIGN), _BENIGN),
        _monochrome(_screen(_MALIGNANT), _MALIGNANT),
        _cine(_CINE),
        _doppler(_BENIGN),
    ]
    for number, dataset in enumerate(objects, start=1):
        _describe(dataset, study, series, number, now)
    return objects


def _tissue(picture: _Picture) -> NDArray[np.uint8]:
    with files("cad_node.demo").joinpath("images", picture.file).open("rb") as stream:
        return np.asarray(Image.open(stream).convert("L"))


def _screen(picture: _Picture, tissue: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """The scanner's screen with the picture on it, uint8 `(rows, columns)`."""
    pixels = _tissue(picture) if tissue is None else tissue
    screen = Image.new("L", (SCREEN_COLUMNS, SCREEN_ROWS), 0)
    draw = ImageDraw.Draw(screen)
    font, small = ImageFont.load_default(20), ImageFont.load_default(14)
    draw.rectangle((0, 0, SCREEN_COLUMNS, 50), fill=38)
    draw.text((14, 12), "TESTPATIENT, DEMO   ID DEMO-0001", fill=235, font=font)
    draw.text((SCREEN_COLUMNS - 250, 16), "DEMO HOSPITAL  MI 1.1  TIs 0.2", fill=190, font=small)
    screen.paste(Image.fromarray(pixels), (LEFT, TOP))
    for centimetre in range(int(pixels.shape[0] * picture.mm_per_pixel / 10) + 1):
        row = TOP + round(centimetre * 10 / picture.mm_per_pixel)
        draw.line((LEFT - 14, row, LEFT - 6, row), fill=180)
        draw.text((LEFT - 34, row - 8), str(centimetre), fill=180, font=small)
    return np.array(screen)


def _region(picture: _Picture) -> Dataset:
    """One item of the Sequence of Ultrasound Regions, PS3.3 C.8.5.5."""
    rows, columns = _tissue(picture).shape
    item = Dataset()
    item.RegionSpatialFormat = 1
    item.RegionDataType = 1
    item.RegionFlags = 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = LEFT, TOP
    # Inclusive bounds.
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = LEFT + columns - 1, TOP + rows - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = picture.mm_per_pixel / 10
    return item


def _image(sop_class: str, picture: _Picture, samples: int) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SequenceOfUltrasoundRegions = Sequence([_region(picture)])
    dataset.Rows, dataset.Columns = SCREEN_ROWS, SCREEN_COLUMNS
    dataset.SamplesPerPixel = samples
    if samples > 1:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.LossyImageCompression = "00"
    return dataset


def _monochrome(screen: NDArray[np.uint8], picture: _Picture) -> Dataset:
    dataset = _image(UltrasoundImageStorage, picture, 1)
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = screen.tobytes()
    dataset["PixelData"].VR = "OW"
    return _with_meta(dataset, ExplicitVRLittleEndian)


def _rgb_jpeg(screen: NDArray[np.uint8], picture: _Picture) -> Dataset:
    dataset = _image(UltrasoundImageStorage, picture, 3)
    return _compress(dataset, [np.repeat(screen[..., None], 3, axis=2)])


def _cine(picture: _Picture) -> Dataset:
    """A loop in which the probe sways by some pixels and the gain breathes."""
    dataset = _image(UltrasoundMultiFrameImageStorage, picture, 3)
    still = _tissue(picture)
    # Typed text stands still on a real screen; here it would sway along, so the rows that hold it go.
    still = still[: still.shape[0] - 120]
    random = np.random.default_rng(1)
    frames = []
    for index in range(CINE_FRAMES):
        phase = 2 * np.pi * index / CINE_FRAMES
        shifted = _shift(still, round(3 * np.sin(phase)), round(8 * np.cos(phase)))
        noise = random.normal(1.0, 0.04, still.shape)
        moved = np.clip(shifted * noise * (1 + 0.06 * np.sin(phase)), 0, 255).astype(np.uint8)
        full = np.zeros_like(_tissue(picture))
        full[: moved.shape[0]] = moved
        frames.append(np.repeat(_screen(picture, full)[..., None], 3, axis=2))
    dataset.NumberOfFrames = CINE_FRAMES
    dataset.FrameTime = 40
    dataset.CineRate = 25
    # PS3.3 C.7.6.5: says by which attribute frames are ordered.
    dataset.FrameIncrementPointer = 0x00181063
    return _compress(dataset, frames)


def _shift(pixels: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Move a picture by a few pixels; its border repeats."""
    most = max(abs(down), abs(right))
    padded = np.pad(pixels, most, mode="edge")
    rows, columns = pixels.shape
    return padded[most - down : most - down + rows, most - right : most - right + columns]


def _doppler(picture: _Picture) -> Dataset:
    """Painted flow over the picture, with the colour region that a scanner declares."""
    screen = np.repeat(_screen(picture)[..., None], 3, axis=2)
    rows, columns = np.mgrid[:SCREEN_ROWS, :SCREEN_COLUMNS]
    vessel = np.abs(rows - 260 - 18 * np.sin(columns / 14)) < 6
    screen[vessel & (columns > 260) & (columns < 470)] = (210, 40, 20)
    dataset = _image(UltrasoundImageStorage, picture, 3)
    flow = _region(picture)
    flow.RegionDataType = 2  # colour flow
    dataset.SequenceOfUltrasoundRegions.append(flow)
    dataset.UltrasoundColorDataPresent = 1
    return _compress(dataset, [screen])


def _compress(dataset: Dataset, frames: list[NDArray[np.uint8]]) -> Dataset:
    """Encode RGB frames as JPEG baseline with halved chroma, as scanners do."""
    encoded = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=90, subsampling=1)
        encoded.append(buffer.getvalue())
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PixelData = encapsulate(encoded)
    dataset["PixelData"].VR = "OB"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.LossyImageCompressionRatio = round(sum(f.nbytes for f in frames) / sum(map(len, encoded)), 1)
    return _with_meta(dataset, JPEGBaseline8Bit)


def _with_meta(dataset: Dataset, transfer_syntax: UID) -> Dataset:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    return dataset


def _describe(dataset: Dataset, study: str, series: str, number: int, now: datetime) -> None:
    """Add patient, study, series and equipment."""
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.Modality = "US"
    dataset.PatientName, dataset.PatientID = PATIENT_NAME, PATIENT_ID
    dataset.PatientBirthDate, dataset.PatientSex = "19700101", "F"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = now.strftime("%Y%m%d")
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = now.strftime("%H%M%S")
    dataset.AccessionNumber = dataset.StudyID = "DEMO"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Breast ultrasound, demo of CAD Node"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Demo", "BUS-BRA picture on a screen"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    dataset.BodyPartExamined = "BREAST"
    dataset.Laterality = "R"
    dataset.PatientOrientation = ""
    dataset.BurnedInAnnotation = "YES"
