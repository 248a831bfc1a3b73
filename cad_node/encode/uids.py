"""UIDs that follow from what an object is made of, so that a second run makes the same.

Derived by hashing into the 2.25 arc (PS3.5 B.2), which takes any 128-bit
integer. Equal sources, model and settings give equal UIDs; nothing else does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cad_node.domain import Provenance

# Part 10 file meta of every object that the node writes (PS3.7 D.3.3.2).
IMPLEMENTATION_VERSION_NAME = "CADNODE"


def derive_uid(*parts: str) -> str:
    """Return the UID that belongs to `parts`; their order and their borders count.

    Examples
    --------
    >>> derive_uid("seg", "1.2.3") == derive_uid("seg", "1.2.3")
    True
    >>> derive_uid("ab", "c") == derive_uid("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"


IMPLEMENTATION_CLASS_UID = derive_uid("CAD Node", "implementation class")


def _made_by(provenance: Provenance, wording: str) -> tuple[str, ...]:
    return (
        provenance.software_version,
        provenance.model_sha256,
        provenance.settings_digest,
        wording,
    )


def seg_uid(source: str, provenance: Provenance, wording: str) -> str:
    """SOP Instance UID of the SEG of one image; `wording` is the templates' digest."""
    return derive_uid("seg", source, *_made_by(provenance, wording))


def seg_series_uid(source: str, provenance: Provenance, wording: str) -> str:
    """Series of the SEG of one image: its own, since viewers show one SEG a series."""
    return derive_uid("seg series", source, *_made_by(provenance, wording))


def sr_uid(sources: Iterable[str], provenance: Provenance, wording: str) -> str:
    """SOP Instance UID of the SR over `sources`, in whatever order they came."""
    return derive_uid("sr", *_made_by(provenance, wording), *sorted(sources))


def returned_sr_uid(report: str, superseded: str) -> str:
    """SOP Instance UID of the SR that says what `report` said, after `superseded` had taken its place."""
    return derive_uid("sr returned", report, superseded)


def sr_series_uid(study: str, provenance: Provenance, wording: str) -> str:
    """Series of a study's SRs; a later report joins it, so that viewers show the newest."""
    return derive_uid("sr series", study, *_made_by(provenance, wording))


def object_uid(kind: str, sources: Iterable[str], provenance: Provenance, wording: str) -> str:
    """SOP Instance UID of another object over `sources`, in whatever order they came."""
    return derive_uid(kind, *_made_by(provenance, wording), *sorted(sources))


def object_series_uid(kind: str, study: str, provenance: Provenance, wording: str) -> str:
    """Series of the objects of a kind in a study: one for all of them."""
    return derive_uid(f"{kind} series", study, *_made_by(provenance, wording))


def tracking_uid(source: str, lesion_number: int) -> str:
    """Tracking UID of a lesion, the same in SEG and SR and for every model."""
    return derive_uid("lesion", source, str(lesion_number))


def device_uid(provenance: Provenance) -> str:
    """UID of the observer: this software with this model."""
    return derive_uid("device", provenance.software_version, provenance.model_sha256)
