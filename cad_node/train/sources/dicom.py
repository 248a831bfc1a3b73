"""A folder of DICOM: ultrasound images, SEGs that outline lesions on them, and what names the classes.

Images are read, gated and cut to their tissue by the same code as in the running
node. The class of an outlined lesion is the one that ``images.csv`` gives to its
image, or a code in the SEG, or that of a verified report with the lesion's Tracking
UID. A group is a patient, by a pseudonym. What cannot be used is left out and
counted: an archive is never tidy.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cad_node.domain import LesionClass, UltrasoundImage
from cad_node.errors import PixelDecodeError, SettingsError, StudyError
from cad_node.read import gate_image, read_header, scan_files
from cad_node.read.headers import text
from cad_node.read.reported import REPORT_CLASSES, reported_classes
from cad_node.read.scan import Scan
from cad_node.read.segmentation import SEGMENTATION_CLASSES, Outline, read_outlines
from cad_node.train.sources.dicom_picture import DicomPicture, image_in
from cad_node.train.sources.sample import Listing, Row, Sample, fold_of, pseudonym
from cad_node.train.sources.table import TABLE_FILE, label_of, number_in, read_table

logger = logging.getLogger(__name__)

# The same for every such folder: see `plain`.
NAME = "DICOM"
_NORMAL, _OUTLINED = LesionClass.NORMAL.value, "outlined"
_HINT = (
    "It needs sop_instance_uid and label; it may have frame, patient, fold and dataset. "
    "Rows without a frame speak of the whole image."
)


@dataclass(frozen=True)
class _Line:
    """What the table says of an image, or of one of its frames."""

    label: str
    patient: str
    fold: int | None
    dataset: str


@dataclass(frozen=True)
class _Found:
    """An image; it is decoded when it is looked at, and forgotten when another one is."""

    path: Path
    uid: str
    patient: str
    device: str

    @property
    def image(self) -> UltrasoundImage:
        return image_in(self.path)


@dataclass(frozen=True)
class _Frame:
    """A frame that can be learned from: `labels` are the classes that are given to it, one unless they conflict."""

    found: _Found
    number: int
    labels: frozenset[str]
    line: _Line | None
    picture: DicomPicture

    @property
    def name(self) -> str:
        """Name of the frame: no part of a path or of a header."""
        digest = hashlib.sha256(self.found.uid.encode()).hexdigest()[:20]
        return f"dicom/{digest}-{self.number}.png"


@dataclass
class _Reading:
    """What was found below a folder, and why some of it cannot be used."""

    folder: Path
    table: Mapping[tuple[str, int | None], _Line]
    images: dict[str, _Found] = field(default_factory=dict)
    outlines: dict[str, list[tuple[str, Outline]]] = field(default_factory=lambda: defaultdict(list))
    reports: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def names_instances(folder: Path) -> bool:
    """Whether the folder's table speaks of DICOM images."""
    path = folder / TABLE_FILE
    return path.is_file() and "sop_instance_uid" in read_table(path, ())[0]


def read(folder: Path, scan: Scan | None = None) -> Listing:
    """Every frame that a SEG outlines, and every image that the table calls normal.

    All images are decoded once, for the gate.

    Raises
    ------
    SettingsError
        The table is not as it must be, an image names no patient, or nothing can be used.
    """
    reading = _Reading(folder, _table(folder))
    _sort(reading, scan or scan_files([folder]))
    classes = reported_classes(reading.reports)
    frames = [
        frame
        for found in list(reading.images.values())
        if _passes(reading, found)
        for frame in (*_outlined(reading, found, classes), *_normal(reading, found))
    ]
    if not frames:
        raise SettingsError(
            f"None of the DICOM images in {folder} can be learned from or scored. "
            + " ".join(_notes(reading)),
            "An image needs a SEG that names it as its source, and a class: in images.csv by sop_instance_uid, "
            "in the SEG, or in a verified report.",
        )
    return _listing(reading, frames)


def _table(folder: Path) -> dict[tuple[str, int | None], _Line]:
    path = folder / TABLE_FILE
    if not path.is_file():
        return {}
    lines: dict[tuple[str, int | None], _Line] = {}
    for number, row in enumerate(read_table(path, ("sop_instance_uid", "label"), _HINT), start=2):
        where = f"{path}, row {number}"
        fold = number_in(row, "fold", where)
        line = _Line(label_of(row, where), row.get("patient", ""), fold, row.get("dataset", "") or NAME)
        key = row["sop_instance_uid"], number_in(row, "frame", where)
        if lines.setdefault(key, line) != line:
            raise SettingsError(f"{where} contradicts a row before it.", "Name every image or frame once.")
    return lines


def _sort(reading: _Reading, scan: Scan) -> None:
    """Sort files into images, outlines by the image they are of, and reports."""
    paths = [*(path for study in scan.studies.values() for path in study), *scan.ignored]
    logger.info("looking at %d files", len(paths))
    reading.left_out["could not be read"] += len(scan.unreadable)
    for path in sorted(paths):
        try:
            header = read_header(path)
        except StudyError:
            continue  # no DICOM; the scan has counted what is broken
        kind = text(header, "SOPClassUID")
        try:
            if kind in SEGMENTATION_CLASSES:
                _add_outlines(reading, path)
            elif kind in REPORT_CLASSES:
                reading.reports.append(path)
            elif "Rows" in header and str(header.SOPInstanceUID) not in reading.images:
                patient = "\n".join((text(header, "PatientID"), text(header, "IssuerOfPatientID"))).strip()
                device = f"{text(header, 'Manufacturer')} {text(header, 'ManufacturerModelName')}".strip()
                uid = str(header.SOPInstanceUID)
                reading.images[uid] = _Found(path, uid, patient, device)
        except StudyError:
            reading.left_out["could not be read"] += 1


def _add_outlines(reading: _Reading, path: Path) -> None:
    read = read_outlines(path)
    reading.left_out["outlined by a SEG that does not name the frame"] += read.unplaced
    for outline in read.outlines:
        reading.outlines[outline.sop_instance_uid].append(
            (path.relative_to(reading.folder).as_posix(), outline)
        )


def _passes(reading: _Reading, found: _Found) -> bool:
    """Whether the running node would analyse the image; else it is counted and forgotten."""
    try:
        refusal = gate_image(found.image)
        why = f"refused by the gate ({refusal.reason.value})" if refusal is not None else ""
    except PixelDecodeError:
        why = "could not be decoded"
    if why:
        reading.left_out[why] += 1
        del reading.images[found.uid]
    return not why


def _outlined(reading: _Reading, found: _Found, classes: Mapping[str, set[LesionClass]]) -> Iterator[_Frame]:
    """The frames of an image that a SEG outlines and that have a class."""
    for number, outlines in sorted(_by_frame(reading, found).items()):
        line = reading.table.get((found.uid, number)) or reading.table.get((found.uid, None))
        lesions, labels = outlines, {line.label} if line else set()
        if line is None:
            named = {outline: _named(outline, classes) for _, outline in outlines}
            # What a reader calls normal tissue was outlined in error.
            lesions = [pair for pair in outlines if named[pair[1]] != {LesionClass.NORMAL}]
            labels = _gravest([named[outline] for _, outline in lesions]) if lesions else {_NORMAL}
        picture = _picture(reading.folder, found, number, lesions)
        if not labels:
            reading.left_out["outlined and without a class"] += 1
        elif lesions and not picture.drawn(reading.folder):
            reading.left_out["outlined by an empty mask, or outside the tissue"] += 1
        else:
            # A normal image has nothing to outline: the label and the mask contradict each other.
            labels |= {_OUTLINED} if lesions and _NORMAL in labels else set()
            yield _Frame(found, number, frozenset(labels), line, picture)


def _by_frame(reading: _Reading, found: _Found) -> dict[int, list[tuple[str, Outline]]]:
    """The outlines of an image that fit it, with the SEGs that they are in."""
    reference = found.image.reference
    outlined: dict[int, list[tuple[str, Outline]]] = defaultdict(list)
    for file, outline in reading.outlines.get(found.uid, ()):
        number = outline.frame_number or (1 if reference.number_of_frames == 1 else 0)
        if not 1 <= number <= reference.number_of_frames:
            reading.left_out["outlined by a SEG that does not name the frame"] += 1
        elif (outline.rows, outline.columns) != (reference.rows, reference.columns):
            reading.left_out["outlined by a SEG of another size"] += 1
        else:
            outlined[number].append((file, outline))
    return outlined


def _normal(reading: _Reading, found: _Found) -> Iterator[_Frame]:
    """Frames that the table calls normal; of a loop that is normal as a whole, the middle one."""
    outlines = {outline.frame_number or 1 for _, outline in reading.outlines.get(found.uid, ())}
    lines = {frame: line for (uid, frame), line in reading.table.items() if uid == found.uid}
    count = found.image.reference.number_of_frames
    if not lines and not outlines:
        reading.left_out["neither outlined nor named in images.csv"] += 1
    for number, line in lines.items():
        if number in outlines or (number is None and outlines):
            continue  # seen with its outline
        if line.label != _NORMAL:
            reading.left_out["named a lesion and not outlined"] += 1
        elif number is not None and number > count:
            reading.left_out["a frame that the image does not have"] += 1
        else:
            at = number or (count + 1) // 2
            yield _Frame(found, at, frozenset({_NORMAL}), line, _picture(reading.folder, found, at, ()))


def _named(outline: Outline, classes: Mapping[str, set[LesionClass]]) -> set[LesionClass]:
    """Classes of a lesion by its SEG and by verified reports: one, none, or several that conflict."""
    own = {outline.lesion_class} if outline.lesion_class else set()
    return own | classes.get(outline.tracking_uid, set())


def _gravest(lesions: Sequence[set[LesionClass]]) -> set[str]:
    """Class of a frame by those of its lesions; several where the sources contradict each other.

    None where a lesion has no class, and might be graver than the others.
    """
    for grave in (LesionClass.MALIGNANT, LesionClass.BENIGN):
        concerned = [named for named in lesions if grave in named]
        if concerned:
            return {one.value for named in concerned for one in named}
        if not all(lesions):
            break
    return set()


def _picture(
    folder: Path, found: _Found, number: int, outlines: Sequence[tuple[str, Outline]]
) -> DicomPicture:
    files = [found.path, *(folder / file for file, _ in outlines)]
    states = [(one.st_size, one.st_mtime_ns) for one in (path.stat() for path in files)]
    stamp = hashlib.sha256(repr(states).encode()).hexdigest()[:16]
    return DicomPicture(found.path.relative_to(folder).as_posix(), number, tuple(outlines), stamp)


def _listing(reading: _Reading, frames: Sequence[_Frame]) -> Listing:
    patients = {
        frame.name: (frame.line.patient if frame.line else "") or frame.found.patient for frame in frames
    }
    nameless = sum(not patient for patient in patients.values())
    if nameless:
        raise SettingsError(
            f"{nameless} images name no patient: nobody can say which belong together.",
            "Give the column patient in images.csv.",
        )
    if len({bool(frame.line and frame.line.patient) for frame in frames}) > 1:
        raise SettingsError(
            "images.csv names the patient of some images and not of others.",
            "Name all, or leave the column out: two names of one patient would tear the group.",
        )
    given: dict[str, int] = {}
    for frame in frames:
        fold = frame.line.fold if frame.line else None
        if fold is not None and given.setdefault(patients[frame.name], fold) != fold:
            raise SettingsError(
                "images.csv puts images of one patient into two folds.", "Give all of them the same fold."
            )
    named = {frame.name: frame.line.dataset if frame.line else NAME for frame in frames}
    hashed = {named[frame.name] for frame in frames if patients[frame.name] not in given}
    uids = [frame.found.uid for frame in frames]
    rows = []
    for frame in frames:
        patient = patients[frame.name]
        sample = Sample(
            named[frame.name],
            frame.name,
            min(frame.labels - {_OUTLINED}),
            pseudonym(patient, uids),
            given.get(patient) or fold_of(patient),
            device=frame.found.device,
            hashed_fold=named[frame.name] in hashed,
            picture=frame.picture,
        )
        rows.append(Row(sample, conflicting=len(frame.labels) > 1))
    notes = [*_notes(reading)]
    notes += [
        f"Folds of {name} are made by hash of the patient, where none is given." for name in sorted(hashed)
    ]
    if len(set(patients.values())) == 1 and len(frames) > 1:
        notes.append(
            "All images name the same patient, so that they are one group: if that is the work of "
            "de-identification, give the column patient in images.csv."
        )
    return Listing(tuple(rows), tuple(notes))


def _notes(reading: _Reading) -> list[str]:
    """What was not used, and why; no name, no number of a patient, no path."""
    absent = len({uid for uid, _ in reading.table} - reading.images.keys())
    orphaned = sum(len(found) for uid, found in reading.outlines.items() if uid not in reading.images)
    notes = [f"{count} left out: {why}." for why, count in sorted(reading.left_out.items()) if count]
    if absent:
        notes.append(f"{absent} images of images.csv are not there, or are among those left out.")
    if orphaned:
        notes.append(f"{orphaned} outlines are of images that are not there, or are among those left out.")
    return notes
