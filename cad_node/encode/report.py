"""Rows of `report.csv`: one an analysed image or frame, one an image that was not analysed."""

from __future__ import annotations

from collections.abc import Mapping

from cad_node.domain import (
    FrameResult,
    ImageResult,
    LengthUnit,
    Lesion,
    Probabilities,
    SonographerNotes,
    StudyResult,
)
from cad_node.encode.seg import key_lesion, lesion_tracks
from cad_node.encode.uids import tracking_uid

REPORT_COLUMNS = (
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "frame",
    "status",
    "reason",
    "class",
    "p_normal",
    "p_benign",
    "p_malignant",
    "lesions",
    "long_axis_mm",
    "short_axis_mm",
    "area_mm2",
    "annotations_removed",
    "marked",
    "typed",
    "size_differs",
    "seg",
    "sr",
    "preview",
    "seconds",
)


def report_rows(
    result: StudyResult, *, segs: Mapping[str, str], sr: str, previews: Mapping[str, str]
) -> list[dict[str, str]]:
    """Return the rows of a study.

    An analysed image with a reason was analysed in part.
    Class and probabilities speak of the frame as a whole; the class is
    "uncertain" where the model abstains. Axes and area are those of its most
    suspicious lesion, and empty where the image has no scale. `marked`: calipers or
    a trace lie on the image; `typed`: what the sonographer typed, coded;
    `size_differs`: whether the typed size and the measured one do.

    Parameters
    ----------
    segs, previews
        Paths by SOP Instance UID of the image.
    sr
        Path of the report.
    """
    rows = []
    for image in result.images:
        uid = image.reference.sop_instance_uid
        common = {
            **dict.fromkeys(REPORT_COLUMNS, ""),
            "study_instance_uid": image.reference.study_instance_uid,
            "series_instance_uid": image.reference.series_instance_uid,
            "sop_instance_uid": uid,
            "status": image.status.value,
            "reason": image.reason.value if image.reason else "",
            "seg": segs.get(uid, ""),
            "sr": sr,
            "preview": previews.get(uid, ""),
            "seconds": f"{image.seconds:.3f}",
        }
        rows += [{**common, **_frame_columns(frame)} for frame in image.frames] or [common]
    return rows


def lesion_rows(result: StudyResult) -> list[dict[str, str]]:
    """Return one row a lesion, the most suspicious first, as the page lists them.

    A lesion that is seen in several frames of a loop has one row. By its number here,
    from 1, or by its Tracking UID an answer speaks of it; `name` is what the page calls it.
    """
    rows: list[tuple[float, dict[str, str]]] = []
    for position, image in enumerate(result.images, start=1):
        uid = image.reference.sop_instance_uid
        for track in lesion_tracks(image).values():
            lesion = key_lesion(track)
            row = {
                "name": f"image {position}, lesion {lesion.number}",
                "image": uid,
                "tracking_uid": tracking_uid(uid, lesion.number),
                "class": _class(lesion.probabilities),
                "p_malignant": f"{lesion.probabilities.malignant:.4f}",
            }
            rows.append((lesion.probabilities.malignant, row))
    rows.sort(key=lambda pair: -pair[0])
    return [row for _, row in rows]


def _class(probabilities: Probabilities) -> str:
    return "uncertain" if probabilities.uncertain else probabilities.likeliest.value


def _frame_columns(frame: FrameResult) -> dict[str, str]:
    columns = {
        "frame": str(frame.frame_number),
        "class": _class(frame.probabilities),
        "p_normal": f"{frame.probabilities.normal:.4f}",
        "p_benign": f"{frame.probabilities.benign:.4f}",
        "p_malignant": f"{frame.probabilities.malignant:.4f}",
        "lesions": str(len(frame.lesions)),
        "annotations_removed": str(frame.annotations_removed),
        "marked": "yes" if frame.notes.marked else "no",
        "typed": typed_notes(frame.notes),
        "seconds": f"{frame.seconds:.3f}",
    }
    if frame.size_comparison is not None:
        columns["size_differs"] = "yes" if frame.size_comparison.differs else "no"
    worst = worst_lesion(frame)
    if worst is not None and worst.measurements.unit is LengthUnit.MILLIMETRE:
        columns["long_axis_mm"] = f"{worst.measurements.long_axis.length:.2f}"
        columns["short_axis_mm"] = f"{worst.measurements.short_axis.length:.2f}"
        columns["area_mm2"] = f"{worst.measurements.area:.2f}"
    return columns


def typed_notes(notes: SonographerNotes) -> str:
    """The notes of a frame in one line, as names and numbers.

    Examples
    --------
    >>> from cad_node.domain import Laterality
    >>> typed_notes(SonographerNotes(laterality=Laterality.LEFT, clock_face=10.5, nipple_distance_mm=30))
    'side=left clock=10.5 nipple_mm=30'
    """
    said = {
        "side": notes.laterality,
        "clock": notes.clock_face,
        "quadrant": notes.quadrant,
        "nipple_mm": notes.nipple_distance_mm,
        "plane": notes.plane,
        "calipers_mm": "/".join(f"{one.millimetres:g}" for one in notes.distances) or None,
    }
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float | int) else f"{name}={value}"
        for name, value in said.items()
        if value is not None
    )


def worst_lesion(found: FrameResult | ImageResult) -> Lesion | None:
    """The lesion with the greatest probability of cancer; the larger where equal."""
    return max(
        found.lesions,
        key=lambda lesion: (lesion.probabilities.malignant, lesion.measurements.area),
        default=None,
    )
