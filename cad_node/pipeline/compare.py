"""Compare what the sonographer measured with what the node measured."""

from __future__ import annotations

from collections.abc import Sequence

from cad_node.domain import LengthUnit, Lesion, SizeComparison, SonographerNotes

# A difference counts where it is more than both: two readers differ by less on the same lesion.
TOLERANCE_SHARE = 0.2
TOLERANCE_MM = 3.0


def compare_sizes(notes: SonographerNotes, lesions: Sequence[Lesion]) -> SizeComparison | None:
    """The longest typed distance of a frame against the long axis of its lesion.

    The calipers do not say which lesion they measured; of several, the one that
    comes nearest is compared, so that a difference is never said for want of the
    right one. None where nothing is typed, nothing was found, or the image has no
    scale.

    Parameters
    ----------
    lesions
        Those of the frame that the notes stand on.

    Examples
    --------
    >>> compare_sizes(SonographerNotes(), ()) is None
    True
    """
    calibrated = [one for one in lesions if one.measurements.unit is LengthUnit.MILLIMETRE]
    if not notes.distances or not calibrated:
        return None
    typed = max(distance.millimetres for distance in notes.distances)
    lesion = min(calibrated, key=lambda one: abs(one.measurements.long_axis.length - typed))
    measured = lesion.measurements.long_axis.length
    return SizeComparison(
        lesion_number=lesion.number,
        typed_mm=typed,
        measured_mm=measured,
        differs=abs(measured - typed) > max(TOLERANCE_MM, TOLERANCE_SHARE * typed),
    )
