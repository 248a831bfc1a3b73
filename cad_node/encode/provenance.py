"""By whom, by what and when: the same in every result object."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TypedDict

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import AlgorithmIdentification, CodedConcept
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, DT, TM

from cad_node.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME, Concept
from cad_node.domain import Provenance
from cad_node.encode.source import Source, stamp_study
from cad_node.encode.template import Templates
from cad_node.encode.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.settings import ResultSettings
from cad_node.variants import KINDS, Variant

_REPORT = Variant("sr")


@dataclass(frozen=True)
class Context:
    """What all objects of one study have in common."""

    provenance: Provenance
    templates: Templates
    settings: ResultSettings
    made_at: datetime
    variant: Variant = _REPORT

    def of(self, variant: Variant) -> Context:
        """The same for objects of one variant; its choices take the place of the settings'."""
        return replace(self, variant=variant, settings=self.settings.model_copy(update=dict(variant.choices)))

    @cached_property
    def wording(self) -> str:
        """What of templates and settings changes an object's bytes, for its derived UIDs.

        The settings of other kinds of objects do not: `seg_…` changes no report.
        """
        kind = self.variant.kind
        others = tuple(f"{other}_" for other in KINDS if other != kind)
        values = {
            name: value
            for name, value in self.settings.model_dump(mode="json").items()
            if not name.startswith(others) and name != "transfer_syntax"
        }
        digest = f"{self.templates.digest}{self.templates.digests.get(kind, '')}"
        return f"{digest} {self.variant.name} {json.dumps(values, sort_keys=True)}"

    @property
    def algorithm_name(self) -> str:
        """Name of the algorithm as a reader sees it."""
        return self.templates.seg.algorithm.name.format(model_name=self.provenance.model_name)[:64]

    @property
    def algorithm_version(self) -> str:
        """Version of model and software together, since both decide what is found."""
        made_by = self.provenance
        return f"{made_by.model_version} (software {made_by.software_version})"[:64]


def coded(concept: Concept) -> CodedConcept:
    """The concept as highdicom wants it."""
    return CodedConcept(concept.value, concept.scheme, concept.meaning, concept.version or None)


# The parameter that says from which value on a pixel of a FRACTIONAL segment is in the mask.
MASK_FROM = "mask_from_value"


def seg_algorithm(context: Context, *, mask_from: int | None = None) -> AlgorithmIdentificationSequence:
    """Algorithm identification of a segment (PS3.3 table 10-19)."""
    parameters = _parameters(context)
    if mask_from is not None:
        parameters[MASK_FROM] = str(mask_from)
    return AlgorithmIdentificationSequence(
        name=context.algorithm_name,
        family=coded(context.templates.seg.algorithm.family),
        version=context.algorithm_version,
        source=context.templates.wording.product.manufacturer,
        parameters=parameters,
    )


def sr_algorithm(context: Context) -> AlgorithmIdentification:
    """Algorithm identification of a measurement group (TID 4019)."""
    return AlgorithmIdentification(
        name=context.algorithm_name,
        version=context.algorithm_version,
        parameters=[f"{name}={value}" for name, value in _parameters(context).items()],
        manufacturer=context.templates.wording.product.manufacturer,
    )


def _parameters(context: Context) -> dict[str, str]:
    return {
        "model_sha256": context.provenance.model_sha256,
        "settings_digest": context.provenance.settings_digest,
    }


class Equipment(TypedDict):
    """The arguments by which highdicom takes the equipment."""

    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str


def equipment(context: Context) -> Equipment:
    """The node as the equipment that made an object."""
    product = context.templates.wording.product
    return {
        "manufacturer": product.manufacturer,
        "manufacturer_model_name": product.name,
        "software_versions": context.provenance.software_version,
        "device_serial_number": context.provenance.model_sha256[:16],
    }


def stamp(dataset: Dataset, source: Source, context: Context) -> None:
    """Set what does not depend on the kind of object: study, time, equipment, file meta.

    Undoes every trace of the clock that the library left, so that the same
    input gives the same bytes.
    """
    stamp_study(dataset, source)
    now = _local(context.made_at, dataset.get("TimezoneOffsetFromUTC"))
    date, time = DA(now.date()), TM(now.time().replace(tzinfo=None))
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.ContentDate, dataset.ContentTime = date, time
    dataset.CodingSchemeIdentificationSequence = [
        CodingSchemeIdentificationItem(
            PRIVATE_SCHEME,
            name=PRIVATE_SCHEME_NAME,
            responsible_organization=context.templates.wording.product.manufacturer,
        )
    ]
    dataset.ContributingEquipmentSequence = _contributors(source, now)
    dataset.file_meta = file_meta(dataset)


def _local(made_at: datetime, offset: object) -> datetime:
    """The time in the zone that the object declares; without one, as it was given."""
    if made_at.tzinfo is None or not isinstance(offset, str) or len(offset) != len("+0000"):
        return made_at
    try:
        delta = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))
        return made_at.astimezone(timezone(-delta if offset[0] == "-" else delta))
    except ValueError:
        return made_at


def _contributors(source: Source, now: datetime) -> list[ContributingEquipment]:
    library = ContributingEquipment.for_highdicom()
    library.ContributionDateTime = DT(now.replace(tzinfo=None))
    scanner = source.equipment
    if not scanner.get("Manufacturer"):
        return [library]
    item = ContributingEquipment(
        manufacturer=str(scanner.Manufacturer),
        purpose_of_reference=codes.DCM.AcquisitionEquipment,
    )
    for element in scanner:
        item[element.tag] = element
    return [item, library]


def file_meta(dataset: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> FileMetaDataset:
    """The File Meta Information of an object of ours."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    meta.FileMetaInformationGroupLength = len(buffer.getvalue())
    return meta
