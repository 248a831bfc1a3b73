"""Basic Text SR: the study's document in plain sentences, for whoever reads no other report.

It names no template: TID 2000 is for the radiologist's own report, and this is
none.
"""

from __future__ import annotations

from collections.abc import Mapping

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import BasicTextSRStorage

from cad_node.domain import StudyResult
from cad_node.encode.documents import Line, Style, document_head, document_lines
from cad_node.encode.evidence import evidence
from cad_node.encode.provenance import Context, coded, stamp
from cad_node.encode.source import Source

KIND = "text_sr"


def encode_text_sr(result: StudyResult, sources: Mapping[str, Source], context: Context) -> Dataset:
    """The document of a study as a list of sentences."""
    template = context.templates.pdf
    dataset = document_head(KIND, BasicTextSRStorage, template.text_series, result, context)
    dataset.Modality = "SR"
    dataset.SeriesNumber = context.settings.text_sr_series_number
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.CompletionFlag = "COMPLETE"
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.PreliminaryFlag = "PRELIMINARY"
    dataset.PerformedProcedureCodeSequence = []
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence(result)
    dataset.ValueType = "CONTAINER"
    dataset.ContinuityOfContent = "SEPARATE"
    dataset.ConceptNameCodeSequence = [coded(template.document.concept)]
    lines = document_lines(result, sources, context)
    dataset.ContentSequence = [_language(context), *map(_text, filter(_is_sentence, lines))]
    stamp(dataset, sources[result.images[0].reference.sop_instance_uid], context)
    return dataset


def _language(context: Context) -> Dataset:
    item = Dataset()
    item.RelationshipType = "HAS CONCEPT MOD"
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [CodedConcept(*codes.DCM.LanguageOfContentItemAndDescendants)]
    item.ConceptCodeSequence = [coded(context.templates.sr.document.language)]
    return item


def _is_sentence(line: Line) -> bool:
    return line.style in {Style.TEXT, Style.FAINT}


def _text(line: Line) -> Dataset:
    name = codes.DCM.Finding if line.image else codes.DCM.Summary
    if line.style is Style.FAINT:
        name = codes.DCM.Comment
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = [CodedConcept(*name)]
    item.TextValue = line.text
    return item
