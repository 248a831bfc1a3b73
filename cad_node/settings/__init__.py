"""The one settings tree: what an operator can change, with unit, bounds and reason.

Read once, by the doors, and handed down as the smallest part a room needs.
Precedence: command line, `CADNODE_*` environment, `node.toml`, default. Unknown
keys are refused. `deploy/node.example.toml` and the table in
`docs/settings.md` are generated from this package.

- `section.py` the base of every section, and the types that several use
- `receive.py` the C-STORE door
- `jobs.py` when a study is analysed, and how often it is tried
- `pipeline.py` what is done to an image, and how fast
- `results.py` what comes back, and what radiologists' answers mean
- `destinations.py` where results go
- `node.py` the whole tree, and how it is read
- `problems.py` what is wrong with it, in an operator's words
"""

from cad_node.settings.destinations import CStoreDestinationSettings, FolderDestinationSettings
from cad_node.settings.jobs import CompletionSettings, JobsSettings
from cad_node.settings.node import NodeSettings, load_settings
from cad_node.settings.pipeline import PipelineSettings, RuntimeSettings
from cad_node.settings.receive import ReceiveSettings, is_loopback
from cad_node.settings.results import (
    AnswerSettings,
    ObjectKind,
    ResultSettings,
    SegScope,
    SegType,
    SrClass,
    TransferSyntax,
)

__all__ = [
    "AnswerSettings",
    "CStoreDestinationSettings",
    "CompletionSettings",
    "FolderDestinationSettings",
    "JobsSettings",
    "NodeSettings",
    "ObjectKind",
    "PipelineSettings",
    "ReceiveSettings",
    "ResultSettings",
    "RuntimeSettings",
    "SegScope",
    "SegType",
    "SrClass",
    "TransferSyntax",
    "is_loopback",
    "load_settings",
]
