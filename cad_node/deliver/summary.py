"""The `result.json` and the page of a folder that gets some of the objects: they speak of no others."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cad_node.variants import Variant, names_of

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
PAGE_FILE = "index.html"


def page_of(results: Path, wanted: Collection[Variant] | None) -> Path | None:
    """The page that names just what is sent; None where there is none for it.

    There is none where the settings changed after the results were made.
    """
    pages = _content(results).get("pages")
    if wanted is None or not isinstance(pages, dict):
        name = PAGE_FILE
    else:
        name = str(pages.get(names_of(wanted), ""))
        if not name:
            logger.warning("no page was made for these objects; reprocess the study to have one")
            return None
    path = results / Path(name).name
    return path if path.is_file() else None


def summary_of(results: Path, sent: Collection[str]) -> str:
    """The text of `result.json`, without the objects whose files are not among `sent`."""
    content = _content(results)
    listed = content.get("objects")
    if not isinstance(listed, list):
        return (results / RESULT_FILE).read_text(encoding="utf-8")
    objects = [one for one in listed if one.get("file") in sent]
    content["objects"] = objects
    content["variants"] = list(dict.fromkeys(one["variant"] for one in objects if "variant" in one))
    uids = {one.get("sop_instance_uid") for one in objects}
    images = {uid: of for uid, of in content.get("images", {}).items() if uid in uids}
    content["images"] = images
    segs: dict[str, str] = {}
    for one in objects:
        if one.get("kind") == "seg":
            for image in images.get(one["sop_instance_uid"], ()):
                segs.setdefault(image, one["file"])
    report = next((one["file"] for one in objects if one.get("kind") == "sr"), "")
    for row in content.get("rows", ()):
        row["seg"], row["sr"] = segs.get(row.get("sop_instance_uid"), ""), report
    content.pop("pages", None)
    return json.dumps(content, indent=1)


def _content(results: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((results / RESULT_FILE).read_text(encoding="utf-8"))
    return content
