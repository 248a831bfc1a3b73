"""Encapsulated PDF: the study's document with its pictures, for whoever can open nothing else.

The font is embedded, as PS3.3 C.24 asks of a document that must look the same
everywhere. Nothing in it depends on the clock, so that the same study gives the
same bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from itertools import groupby

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage
from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from cad_node.domain import ImageReference, StudyResult
from cad_node.encode.documents import RELATIVE_SIZES, Line, Style, document_head, document_lines
from cad_node.encode.provenance import Context, coded, stamp
from cad_node.encode.source import Source
from cad_node.encode.template import Templates

# In ASCII a document is a quarter larger, and writing it so took longer than all the rest. Every
# reader takes binary streams, which the DICOM attribute holds anyway.
rl_config.useA85 = 0

KIND = "pdf"
_MARGIN = 56.0  # 2 cm
_FAINT_GREY = 0.4


def encode_pdf(
    result: StudyResult, sources: Mapping[str, Source], pictures: Mapping[str, Image.Image], context: Context
) -> Dataset:
    """The document of a study; `pictures` (RGB) by SOP Instance UID."""
    template = context.templates.pdf
    source = sources[result.images[0].reference.sop_instance_uid]
    content = render_pdf(document_lines(result, sources, context), pictures, context.templates)
    dataset = document_head(KIND, EncapsulatedPDFStorage, template.series, result, context)
    dataset.Modality = "DOC"
    dataset.SeriesNumber = context.settings.pdf_series_number
    dataset.ConversionType = "WSD"
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "NO"
    dataset.DocumentTitle = template.document.title
    dataset.ConceptNameCodeSequence = [coded(template.document.concept)]
    dataset.SourceInstanceSequence = [_reference(image.reference) for image in result.images]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(content)
    dataset.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    stamp(dataset, source, context)
    return dataset


def render_pdf(lines: Sequence[Line], pictures: Mapping[str, Image.Image], templates: Templates) -> bytes:
    """The lines on pages, each image's picture after the last line about it."""
    buffer = io.BytesIO()
    pages = _Pages(buffer, templates)
    for image, group in groupby(lines, key=lambda line: line.image):
        about = list(group)
        picture = pictures.get(image or "")
        if picture is not None:
            pages.keep_together(len(about))
        for line in about:
            pages.write(line)
        if picture is not None:
            pages.picture(picture)
    pages.close()
    return buffer.getvalue()


class _Jpeg(ImageReader):  # type: ignore[misc]  # the library has no types
    """A JPEG that goes into the document as it is; by its bytes it is told apart from others."""

    def getRGBData(self) -> bytes:  # noqa: N802  the library's name
        """What the library hashes for a name: by itself it would decode the picture for that."""
        self._dataA = None
        content: bytes = self.fp.getvalue()
        return content


class _Pages:
    """A4 pages written from top to bottom."""

    def __init__(self, stream: io.BytesIO, templates: Templates) -> None:
        self._page = templates.pdf.page
        self._font = _registered(templates)
        self._width = A4[0] - 2 * _MARGIN
        self._canvas = Canvas(stream, pagesize=A4, pageCompression=1, invariant=1, initialFontName=self._font)
        self._canvas.setTitle(templates.pdf.document.title)
        self._canvas.setAuthor(templates.wording.product.name)
        self._footer = templates.wording.product.disclaimer
        self._number = 0
        self._begin()

    def write(self, line: Line) -> None:
        """One paragraph, broken to the width."""
        size = self._page.font_size * RELATIVE_SIZES[line.style]
        self._y -= size * (0.9 if line.style is Style.HEADING else 0.35)
        for part in _wrapped(line.text, self._font, size, self._width):
            self._need(size * 1.3)
            self._y -= size * 1.3
            self._canvas.setFont(self._font, size)
            self._canvas.setFillGray(_FAINT_GREY if line.style is Style.FAINT else 0)
            self._canvas.drawString(_MARGIN, self._y, part)

    def keep_together(self, lines: int) -> None:
        """Begin a page where a picture and the lines above it do not fit on this one."""
        self._need(self._page.picture_height + 24 + lines * 3 * self._page.font_size)

    def picture(self, image: Image.Image) -> None:
        """A picture as wide as the text, or as high as the template allows."""
        scale = min(self._width / image.width, self._page.picture_height / image.height)
        width, height = image.width * scale, image.height * scale
        # As JPEG a picture is a tenth of the size, and the outlines stay sharp at this quality.
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=90, subsampling=0)
        jpeg.seek(0)
        self._need(height + 24)
        self._y -= height + 12
        self._canvas.drawImage(_Jpeg(jpeg), _MARGIN, self._y, width, height)
        self._y -= 12

    def close(self) -> None:
        """End the last page and the document."""
        self._end()
        self._canvas.save()

    def _need(self, height: float) -> None:
        if self._y - height < _MARGIN:
            self._end()
            self._begin()

    def _begin(self) -> None:
        self._number += 1
        self._y = A4[1] - _MARGIN

    def _end(self) -> None:
        size = self._page.font_size * 0.8
        self._canvas.setFont(self._font, size)
        self._canvas.setFillGray(_FAINT_GREY)
        self._canvas.drawString(_MARGIN, _MARGIN / 2, self._footer)
        self._canvas.drawRightString(A4[0] - _MARGIN, _MARGIN / 2, str(self._number))
        self._canvas.showPage()


def _registered(templates: Templates) -> str:
    """Name of the templates' font in the PDF library, which knows fonts by name for the whole process."""
    path = str(templates.preview.picture.font.path)
    name = f"F{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    if name not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(name, path))
    return name


def _wrapped(text: str, font: str, size: float, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and pdfmetrics.stringWidth(joined, font, size) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines or [""]


def _reference(image: ImageReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.sop_class_uid
    item.ReferencedSOPInstanceUID = image.sop_instance_uid
    return item
