"""Files of one study to the images the pipeline works on.

Nothing is decoded here: an image is either refused by its header, with a
reason, or carries frames that decode when they are looked at.
"""

from __future__ import annotations

import filecmp
import logging
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from cad_node.domain import ImageReference, Refusal, UltrasoundImage, UltrasoundStudy
from cad_node.errors import NoUsableFramesError, SeveralPatientsError, StudyError
from cad_node.read.calibration import tissue_picture
from cad_node.read.frames import DecodedImage, LazyFrames
from cad_node.read.gate import gate, is_own_result, number_of_frames
from cad_node.read.headers import Header, integer, items, load_header, read_with_pixels
from cad_node.read.patient import of_one_patient
from cad_node.read.tint import gate_pixels

logger = logging.getLogger(__name__)

_LAST = 2**31  # Series or Instance Numbers that are absent come last


def read_study(paths: Sequence[Path], *, breast_only: bool = False) -> UltrasoundStudy:
    """Read one study: one image an instance, ordered by series and instance.

    A file that cannot be read is left out with a warning, and counted; of two files with
    the same SOP Instance UID the first is kept. A node's own secondary captures are left
    out beside other images: a PACS may forward them like any image, and results that
    counted them in would be new results, with new captures, without end. Pixels are
    decoded on access, one image at a time.

    Parameters
    ----------
    paths
        Files of one study, in any order.
    breast_only
        Refuse images whose header names another body part than breast or axilla.

    Raises
    ------
    NoUsableFramesError
        None of the files can be read.
    SeveralPatientsError
        The images name different patients.
    StudyError
        The files belong to several studies.
    """
    headers: dict[str, tuple[Path, Header]] = {}
    unreadable = 0
    for path in paths:
        try:
            header = load_header(path)
        except StudyError as error:
            logger.warning("A file was left out: %s", error.problem)
            unreadable += 1
            continue
        uid = str(header.dataset.SOPInstanceUID)
        first, _ = headers.setdefault(uid, (path, header))
        if first is not path and _differs(first, path):
            logger.warning(
                "A file was left out: it holds another picture under the UID %s of one before it", uid
            )
    studies = {str(header.dataset.StudyInstanceUID) for _, header in headers.values()}
    if not studies:
        raise NoUsableFramesError(
            f"None of {len(paths)} files can be read.", "Ask the sender for the study again."
        )
    if len(studies) > 1:
        raise StudyError(
            f"The files belong to {len(studies)} studies.", "Scan them first, and read one study at a time."
        )
    received = {uid: found for uid, found in headers.items() if not is_own_result(found[1].dataset)}
    headers = received or headers
    if not of_one_patient(header.dataset for _, header in headers.values()):
        raise SeveralPatientsError(
            "The images of this study name different patients.",
            "A report would stand in the record of one and speak of the other. Have the study corrected in the PACS "
            "and sent again: it is analysed once all its images name one patient. Where they are two patients' "
            "indeed, analyse the files of each alone with cad-node process, then: cad-node jobs dismiss.",
            study_instance_uid=next(iter(studies)),
        )
    decoded = DecodedImage()
    ordered = sorted(headers.values(), key=lambda pair: _order(pair[1].dataset))
    images = tuple(_image(path, header, breast_only, decoded) for path, header in ordered)
    return UltrasoundStudy(studies.pop(), images, unreadable)


def _differs(first: Path, second: Path) -> bool:
    """Whether two files hold different pixels; the same picture under two headers is one picture."""
    try:
        if filecmp.cmp(first, second, shallow=False):
            return False
        one, other = (read_with_pixels(path).get("PixelData") for path in (first, second))
    except (OSError, StudyError):
        return True
    return bool(one != other)


def gate_image(image: UltrasoundImage) -> Refusal | None:
    """Ask every picture of an image whether it is coloured, when its header found no fault.

    One coloured frame refuses a whole cine: colour was switched on while it ran.

    Raises
    ------
    PixelDecodeError
        The pixels cannot be decoded.
    """
    if image.refusal is not None:
        return image.refusal
    refusals = (gate_pixels(frame.pixels, frame.tissue) for frame in image.frames)
    return next((refusal for refusal in refusals if refusal is not None), None)


def _image(path: Path, header: Header, breast_only: bool, decoded: DecodedImage) -> UltrasoundImage:
    dataset = header.dataset
    reference = ImageReference(
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
        str(dataset.SOPClassUID),
        integer(dataset, "Rows") or 0,
        integer(dataset, "Columns") or 0,
        number_of_frames(dataset),
    )
    refusal = gate(dataset, breast_only=breast_only, has_pixel_data=header.has_pixel_data)
    if refusal is not None:
        return UltrasoundImage(reference, (), refusal)
    # Only functional groups can calibrate frames one by one; else one entry stands for all.
    count = reference.number_of_frames if items(dataset, "PerFrameFunctionalGroupsSequence") else 1
    calibrations = tuple(tissue_picture(dataset, number + 1) for number in range(count))
    left_out = tuple(dict.fromkeys(box for one in calibrations for box in one.left_out))
    return UltrasoundImage(reference, LazyFrames(path, reference, calibrations, decoded), left_out=left_out)


def _order(dataset: Dataset) -> tuple[int, str, int, str]:
    series, instance = integer(dataset, "SeriesNumber"), integer(dataset, "InstanceNumber")
    return (
        _LAST if series is None else series,
        str(dataset.SeriesInstanceUID),
        _LAST if instance is None else instance,
        str(dataset.SOPInstanceUID),
    )
