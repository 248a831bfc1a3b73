"""Synthetic ultrasound objects: speckle, a lesion, a banner, a calibration.

Everything a test needs to say is an argument; everything else is valid enough
that `dciodvfy` finds no error. Boxes are `(row_start, row_stop, column_start,
column_stop)`, half-open like `cad_node.domain.Box`; the inclusive bounds that
DICOM wants are made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from tests.pixel_data import set_pixels

BoxBounds = tuple[int, int, int, int]

TISSUE, COLOUR_FLOW, PW_SPECTRAL, CW_SPECTRAL, ECG_TRACE = 1, 2, 3, 4, 10
TWO_D, M_MODE, SPECTRAL, WAVEFORM = 1, 2, 3, 4
CM, SECONDS, CM_PER_SECOND = 3, 4, 7


@dataclass(frozen=True)
class Ellipse:
    """A lesion to draw: centre and half-axes in pixels, `(row, column)`."""

    row: float
    column: float
    row_radius: float
    column_radius: float

    def mask(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """The ellipse as a bool array `(rows, columns)`."""
        r, c = np.mgrid[:rows, :columns]
        inside = ((r - self.row) / self.row_radius) ** 2 + ((c - self.column) / self.column_radius) ** 2
        return np.asarray(inside <= 1)


def ellipse(
    row: float = 120, column: float = 160, row_radius: float = 30, column_radius: float = 45
) -> Ellipse:
    """A lesion that fits the default image."""
    return Ellipse(row, column, row_radius, column_radius)


@dataclass(frozen=True)
class Text:
    """A burnt-in text: its top left corner and letter height in pixels."""

    string: str
    row: int
    column: int
    height: int = 16
    colour: tuple[int, int, int] = (255, 255, 255)


def region(
    box: BoxBounds,
    *,
    spatial_format: int = TWO_D,
    data_type: int = TISSUE,
    units_x: int = CM,
    units_y: int = CM,
    delta_x_cm: float | None = 0.01,
    delta_y_cm: float | None = 0.01,
    flags: int = 2,
) -> Dataset:
    """One item of Sequence of Ultrasound Regions for a half-open `box`."""
    item = Dataset()
    item.RegionSpatialFormat = spatial_format
    item.RegionDataType = data_type
    item.RegionFlags = flags
    item.RegionLocationMinX0 = box[2]
    item.RegionLocationMinY0 = box[0]
    item.RegionLocationMaxX1 = box[3] - 1
    item.RegionLocationMaxY1 = box[1] - 1
    item.PhysicalUnitsXDirection = units_x
    item.PhysicalUnitsYDirection = units_y
    if delta_x_cm is not None:
        item.PhysicalDeltaX = delta_x_cm
    if delta_y_cm is not None:
        item.PhysicalDeltaY = delta_y_cm
    return item


def dummy_region(rows: int, columns: int) -> Dataset:
    """The meaningless first region that ACUSON systems write: everything 0, delta 1."""
    return region(
        (0, rows, 0, columns),
        spatial_format=0,
        data_type=0,
        units_x=0,
        units_y=0,
        delta_x_cm=1.0,
        delta_y_cm=1.0,
        flags=0,
    )


def speckle(
    rows: int = 240,
    columns: int = 320,
    *,
    lesion: Ellipse | None = None,
    tissue_box: BoxBounds | None = None,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """A grey picture `(rows, columns)`: speckle inside `tissue_box`, black around it."""
    random = np.random.default_rng(seed)
    noise = random.rayleigh(1.0, (rows, columns))
    for axis in (0, 1):  # speckle is a few pixels wide
        noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    bands = 12 * np.sin(np.arange(rows) / rows * 14)[:, None]  # layers of fat and gland
    picture = 105 + bands + 60 * (noise - noise.mean())
    if lesion is not None:
        picture = np.where(lesion.mask(rows, columns), picture * 0.3, picture)
    box = (0, rows, 0, columns) if tissue_box is None else tissue_box
    grey = np.zeros((rows, columns), np.uint8)
    inside = slice(box[0], box[1]), slice(box[2], box[3])
    grey[inside] = np.clip(picture, 1, 255).astype(np.uint8)[inside]
    return grey


def draw_texts(pixels: NDArray[np.uint8], texts: Sequence[Text]) -> NDArray[np.uint8]:
    """A copy of `pixels`, grey or RGB, with the texts burnt in."""
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    for text in texts:
        fill: Any = text.colour if pixels.ndim == 3 else max(text.colour)
        font = ImageFont.load_default(size=text.height)
        pen.text((text.column, text.row), text.string, fill=fill, font=font)
    return np.asarray(picture).copy()


def paint_flow(pixels: NDArray[np.uint8], box: BoxBounds, seed: int = 1) -> NDArray[np.uint8]:
    """A copy of an RGB picture with red and blue vessels inside `box`, brighter where faster."""
    painted = pixels.copy()
    rows, columns = box[1] - box[0], box[3] - box[2]
    r, c = np.mgrid[:rows, :columns]
    velocity = np.sin(c / 9.0 + r / 23.0 + seed) + 0.6 * np.sin(r / 7.0)
    velocity += np.random.default_rng(seed).normal(0, 0.05, velocity.shape)
    speed = np.clip(np.abs(velocity) / 1.6, 0, 1)[..., None]
    part = painted[box[0] : box[1], box[2] : box[3]]
    towards = (np.array((120, 0, 0)) + speed * np.array((135, 200, 20))).astype(np.uint8)
    away = (np.array((0, 0, 130)) + speed * np.array((20, 200, 125))).astype(np.uint8)
    part[velocity > 0.4] = towards[velocity > 0.4]
    part[velocity < -0.4] = away[velocity < -0.4]
    return painted


def us_image(
    *,
    rows: int = 240,
    columns: int = 320,
    frames: int | None = None,
    photometric: str = "MONOCHROME2",
    transfer_syntax: str = ExplicitVRLittleEndian,
    pixels: NDArray[Any] | None = None,
    bits_stored: int = 8,
    planar_configuration: int = 0,
    delta_x_cm: float | None = 0.01,
    delta_y_cm: float | None = 0.01,
    tissue_box: BoxBounds | None = None,
    regions: Sequence[Dataset] | None = None,
    dummy_first_region: bool = False,
    lesion: Ellipse | None = None,
    burnt_in: str | None = None,
    texts: Sequence[Text] = (),
    flow_box: BoxBounds | None = None,
    patient_name: str = "TEST^PATIENT",
    patient_id: str = "TEST-0001",
    patient_birth_date: str = "19700101",
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    series_number: int = 1,
    instance_number: int = 1,
    seed: int = 0,
    jpeg_quality: int = 95,
    attributes: Mapping[str, Any] | None = None,
) -> Dataset:
    """An Ultrasound Image, or an Ultrasound Multi-frame Image where `frames` is given.

    Parameters
    ----------
    pixels
        Used instead of the drawn speckle: `(rows, columns)`, `(rows, columns, 3)`,
        or either with a leading frame axis (then `frames` follows from it).
        Palette images take grey levels, YBR images RGB.
    tissue_box
        Where the speckle and the tissue region are; by default all but a
        banner of a tenth of the height and a narrow border.
    regions
        Items of Sequence of Ultrasound Regions instead of the one of
        `tissue_box`; `()` leaves the sequence out.
    burnt_in
        Text of a banner in the top left corner, outside the tissue region.
    flow_box
        Painted with red and blue flow (colour images only).
    attributes
        Set last, by keyword; a value of None deletes the attribute.
    """
    if pixels is not None:
        pixels = np.asarray(pixels)
        colour_axes = 1 if pixels.shape[-1] == 3 else 0
        if pixels.ndim - colour_axes == 3:
            frames = pixels.shape[0]
        stack = pixels if pixels.ndim - colour_axes == 3 else pixels[None]
        rows, columns = stack.shape[1:3]
    box = tissue_box or (rows // 10 + 4, rows - 4, columns // 16, columns - columns // 16)
    if pixels is None:
        stack = _drawn(rows, columns, frames or 1, photometric, box, lesion, burnt_in, texts, flow_box, seed)

    dataset = Dataset()
    dataset.file_meta = _file_meta(transfer_syntax, multi_frame=frames is not None)
    _patient_and_study(dataset, patient_name, patient_id, patient_birth_date)
    dataset.StudyInstanceUID = study_instance_uid or generate_uid()
    dataset.SeriesInstanceUID = series_instance_uid or generate_uid()
    dataset.SOPInstanceUID = sop_instance_uid or generate_uid()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SeriesNumber = series_number
    dataset.InstanceNumber = instance_number
    if regions is None:
        regions = (region(box, delta_x_cm=delta_x_cm, delta_y_cm=delta_y_cm),)
    if dummy_first_region:
        regions = (dummy_region(rows, columns), *regions)
    if regions:
        dataset.SequenceOfUltrasoundRegions = list(regions)
    if frames is not None:
        dataset.NumberOfFrames = frames
        dataset.FrameTime = 50
        dataset.FrameIncrementPointer = 0x00181063
    set_pixels(
        dataset,
        stack,
        photometric,
        transfer_syntax,
        bits_stored=bits_stored,
        planar_configuration=planar_configuration,
        jpeg_quality=jpeg_quality,
    )
    for keyword, value in (attributes or {}).items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def us_cine(*, frames: int = 3, **options: Any) -> Dataset:
    """An Ultrasound Multi-frame Image; options as for `us_image`."""
    return us_image(frames=frames, **options)


def us_study(
    *, images: int = 2, cine_frames: int = 0, study_instance_uid: str | None = None, **options: Any
) -> list[Dataset]:
    """One study in one series: `images` single images, then a cine where `cine_frames` is given.

    Each instance has its own speckle; the other options are those of `us_image`.
    """
    study = study_instance_uid or generate_uid()
    series = options.pop("series_instance_uid", None) or generate_uid()
    seed = options.pop("seed", 0)
    options = {**options, "study_instance_uid": study, "series_instance_uid": series}
    made = [us_image(instance_number=n + 1, seed=seed + n, **options) for n in range(images)]
    if cine_frames:
        made.append(
            us_cine(frames=cine_frames, instance_number=images + 1, seed=seed + 100 + images, **options)
        )
    return made


def write(dataset: Dataset, folder: Path, name: str | None = None) -> Path:
    """Write a Part 10 file into `folder`, named by its SOP Instance UID; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{dataset.SOPInstanceUID}.dcm")
    dataset.save_as(path, enforce_file_format=True)
    return path


def _drawn(
    rows: int,
    columns: int,
    frames: int,
    photometric: str,
    box: BoxBounds,
    lesion: Ellipse | None,
    burnt_in: str | None,
    texts: Sequence[Text],
    flow_box: BoxBounds | None,
    seed: int,
) -> NDArray[np.uint8]:
    """All frames; the lesion drifts by one column a frame, as under a moving probe."""
    grey_only = photometric in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
    banner = (Text(burnt_in, 2, 4, max(10, rows // 12)),) if burnt_in else ()
    drawn = []
    for index in range(frames):
        here = lesion and Ellipse(lesion.row, lesion.column + index, lesion.row_radius, lesion.column_radius)
        frame = speckle(rows, columns, lesion=here, tissue_box=box, seed=seed + index)
        if not grey_only:
            frame = np.repeat(frame[..., None], 3, axis=-1)
            if flow_box is not None:
                frame = paint_flow(frame, flow_box, seed=index)
        drawn.append(draw_texts(frame, (*banner, *texts)))
    stack = np.stack(drawn)
    return 255 - stack if photometric == "MONOCHROME1" else stack


def _file_meta(transfer_syntax: str, *, multi_frame: bool) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage if multi_frame else UltrasoundImageStorage
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID("1.2.826.0.1.3680043.8.498.1")
    return meta


def _patient_and_study(dataset: Dataset, name: str, patient_id: str, birth_date: str) -> None:
    """The modules around the image, with what PS3.3 asks for."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = name
    dataset.PatientID = patient_id
    dataset.PatientBirthDate = birth_date
    dataset.PatientSex = "F"
    dataset.StudyDate = "20240102"
    dataset.StudyTime = "101500"
    dataset.SeriesDate = "20240102"
    dataset.SeriesTime = "101501"
    dataset.ContentDate = "20240102"
    dataset.ContentTime = "101502"
    dataset.AcquisitionDateTime = "20240102101502"
    dataset.StudyID = "1"
    dataset.AccessionNumber = "A1"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "US breast"
    dataset.SeriesDescription = "Right breast"
    dataset.Modality = "US"
    dataset.BodyPartExamined = "BREAST"
    dataset.Laterality = "R"
    dataset.Manufacturer = "Synthetic"
    dataset.ManufacturerModelName = "Speckle"
    dataset.SoftwareVersions = "1"
    dataset.DeviceSerialNumber = "1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    dataset.PatientOrientation = ""
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
