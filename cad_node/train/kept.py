"""What was measured of a protocol, kept in its report folder, so that an interrupted run goes on.

Five folds take half an hour on two cores. Each part is written when it is done, beside what
it was made by: model, images, copies and the program itself. Where any of these has changed
since, the part is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import cad_node
from cad_node.train.data import Sample, clean_path, fingerprint

One = TypeVar("One")


class Kept(Generic[One]):
    """Lists of things in a folder, one file a part of a protocol and way of showing the images.

    `to_json` and `from_json` are how a thing is written and read back; `from_json` raises
    TypeError, KeyError or ValueError where it cannot.
    """

    def __init__(
        self,
        folder: Path,
        to_json: Callable[[One], dict[str, Any]],
        from_json: Callable[[Mapping[str, Any]], One],
    ) -> None:
        self._folder = folder
        self._to_json = to_json
        self._from_json = from_json

    def find(self, name: str, made_by: Mapping[str, str]) -> list[One] | None:
        """The list of this name, if it was made by the same."""
        path = self._path(name)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["made_by"] == dict(made_by):
                return [self._from_json(one) for one in content["kept"]]
        except (OSError, ValueError, TypeError, KeyError):
            pass  # never written, or by another version: it is measured again
        return None

    def keep(self, name: str, made_by: Mapping[str, str], things: Sequence[One]) -> None:
        """Write the list; an interruption leaves the former file or this one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(name)
        partial = path.with_suffix(".partial")
        content = {"made_by": dict(made_by), "kept": [self._to_json(one) for one in things]}
        partial.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        partial.replace(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def made_by(model_sha256: str, folder: Path, samples: Sequence[Sample], clean: Path | None) -> dict[str, str]:
    """What is measured of `samples` depends on these; `clean` is where the copies lie that were shown."""
    shown = [clean_path(clean, one) if clean else folder / one.image for one in samples]
    files = "\n".join(
        f"{one.label} {one.group} {_state(path)}" for one, path in zip(samples, shown, strict=True)
    )
    return {
        "model": model_sha256,
        "program": _program(),
        "images": hashlib.sha256(f"{fingerprint(samples)}\n{files}".encode()).hexdigest(),
        "annotations": "removed" if clean else "left in",
    }


def _state(path: Path) -> str:
    """Size and time of a file; of images that are no file of their own, nothing."""
    if not path.is_file():
        return ""
    state = path.stat()
    return f"{state.st_size} {state.st_mtime_ns}"


@cache
def _program() -> str:
    """Hash of this package's code: a figure is never older than what computes it."""
    digest = hashlib.sha256()
    root = Path(cad_node.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
