"""The pages beside the objects: what each names."""

import re
from pathlib import Path

from cad_node.encode import encode_study, load_templates
from cad_node.resources import templates_dir
from cad_node.result_files import file_names, write_pages
from cad_node.settings import CStoreDestinationSettings, FolderDestinationSettings, NodeSettings
from cad_node.variants import all_variants, destination_variants, names_of
from tests import results as findings
from tests.factories import us_image


def test_each_folder_has_a_page_of_what_it_gets(tmp_path: Path) -> None:
    source = us_image()
    found = findings.study(findings.analysed(source, {1: [(1, findings.LARGE, findings.MALIGNANT)]}))
    few = FolderDestinationSettings(name="few", path=tmp_path / "few", objects=("sr",))
    other = FolderDestinationSettings(name="other", path=tmp_path / "other", seg_type="labelmap")
    pacs = CStoreDestinationSettings(name="pacs", host="localhost", port=104, ae_title="PACS")
    settings = NodeSettings(data_dir=tmp_path, destinations=(few, other, pacs))
    templates = load_templates(templates_dir())
    objects = encode_study(
        found,
        {str(source.SOPInstanceUID): source},
        templates=templates,
        settings=settings.results,
        variants=all_variants(settings),
        made_at=findings.MADE_AT,
    )

    pages = write_pages(found, objects, {}, templates, settings, tmp_path)

    def links(page: str) -> dict[str, str]:
        text = (tmp_path / page).read_text(encoding="utf-8")
        return dict(re.findall(r'href="([^"]+\.dcm)">([^<]+)<', text))

    def named(destination: FolderDestinationSettings) -> dict[str, str]:
        return links(pages[names_of(destination_variants(destination, settings.results))])

    assert named(few) == {"sr.dcm": "DICOM SR"}
    assert named(other) == {"seg-labelmap-image-001.dcm": "SEG", "sr.dcm": "DICOM SR"}
    assert pages[names_of(all_variants(settings))] == "index.html"
    everything = links("index.html")
    assert set(everything) == set(file_names(objects))
    # Only where two forms stand side by side does the form say which is which.
    assert everything["seg-001.dcm"] == "SEG (binary)"
    assert everything["seg-labelmap-image-001.dcm"] == "SEG (label map)"
