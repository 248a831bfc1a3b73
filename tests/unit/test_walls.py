"""Which room may know which library, and which room may import which other."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "cad_node"

# Library -> the rooms (or files at the top) that may import it.
LIBRARIES = {
    "pydicom": {"receive", "store", "read", "encode", "deidentify", "deliver", "demo"},
    "pynetdicom": {"receive", "deliver", "demo"},
    "highdicom": {"encode"},
    "reportlab": {"encode"},
    "torch": {"networks", "train"},
    "monai": {"networks", "train"},
    "rapidocr": {"pipeline"},
    "matplotlib": {"train"},
    "dbos": {"jobs"},
    "dicomanonymizer": {"deidentify"},
    "sqlalchemy": {"store", "jobs"},
    "typer": {"cli"},
    "rich": {"cli"},
}

# Room -> the rooms it may lean on. `domain`, `errors`, `settings`, `tls`, `variants`, `logs`,
# `codes` and `resources` are open to all of them.
OPEN = {"domain", "errors", "settings", "tls", "variants", "logs", "codes", "resources", "__init__"}
ROOMS = {
    "receive": set(),
    "store": set(),
    "read": set(),
    "pipeline": set(),
    "networks": set(),
    "encode": {"read"},
    "deidentify": {"read", "encode"},
    "deliver": {"store"},
    "jobs": {"store", "deliver"},
    # What is learned from DICOM is read, gated and cut to its tissue as in the running node.
    "train": {"networks", "pipeline", "read"},
    "demo": set(),
}
WIRING = {
    "process",
    "result_files",
    "workers",
    "answers",
    "reanalysis",
    "retention",
    "leftovers",
    "tissue",
    "study_folder",
    "archive_run",
    "clean_copy",
    "clean_run",
    "node",
    "cli",
    "__main__",
}


def _modules() -> list[tuple[str, Path]]:
    return [
        (path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if "_shipped" not in path.parts
    ]


@cache
def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "cad_node"}
    return names


@pytest.mark.parametrize(("room", "path"), _modules(), ids=lambda value: getattr(value, "stem", value))
def test_a_room_imports_only_the_libraries_it_may_know(room: str, path: Path) -> None:
    for name in _imports(path):
        library = name.split(".")[0]
        if library in LIBRARIES:
            assert room in LIBRARIES[library], f"{path} imports {library}"


@pytest.mark.parametrize(("room", "path"), _modules(), ids=lambda value: getattr(value, "stem", value))
def test_no_room_imports_a_later_room_or_a_door(room: str, path: Path) -> None:
    if room in WIRING:
        return
    allowed = OPEN | ROOMS.get(room, set()) | {room}
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "cad_node" and len(parts) > 1 and parts[1] != "__version__":
            assert parts[1] in allowed, f"{path} imports {name}"


def test_the_domain_knows_only_the_standard_library_and_numpy() -> None:
    names = {name for path in (PACKAGE / "domain").glob("*.py") for name in _imports(path)}
    own = {name for name in names if name.startswith("cad_node.domain.")}
    foreign = {name.split(".")[0] for name in names - own} - set(sys.stdlib_module_names)

    assert own
    assert foreign <= {"numpy"}


def test_torch_waits_until_a_network_is_loaded() -> None:
    """With MONAI it takes 5 s and 300 MB: a node's main process, which only asks what its models are, goes without."""
    asked = "\n".join(
        (
            "import sys, cad_node.node",
            "from cad_node.process import making",
            "from cad_node.settings import NodeSettings",
            "assert making(NodeSettings()).digest",
            "print(*{'torch', 'monai', 'onnxruntime'} & sys.modules.keys())",
        )
    )

    said = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)

    assert said.stdout.split() == []


def test_every_room_stands_in_the_table() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert rooms <= ROOMS.keys() | WIRING | OPEN
