"""`cad-node decide`: threshold, temperature and abstention from the folds that models made alike were tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cad_node.cli.options import unusable_output
from cad_node.cli.progress import tasks_progress
from cad_node.cli.training_options import AllThreads, find_model
from cad_node.errors import SettingsError


def decide(
    data: Annotated[Path, typer.Option("--data", help="The images that all of them were trained with.")],
    model_for: Annotated[
        str,
        typer.Option("--for", help="Model folder, trained on all folds, that is to be run by what is found."),
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder for the models with their new decisions.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Model folder of a fold; several.")
    ] = None,
    models: Annotated[
        Path, typer.Option("--models", help="Folder in which the models of the folds are found.")
    ] = Path("runs/models"),
    clean_cache: Annotated[
        Path | None,
        typer.Option("--clean-cache", help="Copies without annotations; decided on beside the originals."),
    ] = None,
    report: Annotated[
        Path, typer.Option("--report", help="Folder in which what the models said is kept.")
    ] = Path("scorecards/decide"),
    threads: AllThreads = 0,
    version: Annotated[
        str | None, typer.Option("--version", help="Version of the models; default: their own.")
    ] = None,
) -> None:
    """Choose threshold, temperature and abstention on many images in place of a tenth.

    Each of the five models of the protocol `folds` looks at the fold that it has not seen. How
    a model is run is then chosen on the other four folds, and for the one trained on all folds on
    all five; the veto by each on its own validation images. Weights stay as they are. Score what
    is written with `cad-node evaluate --protocol folds`.
    """
    from cad_node.train.decide_across import Looker, decide_across, write_decided
    from cad_node.train.of_all_folds import refuse_as_evidence
    from cad_node.train.protocols import find_protocol, match, missing_message, model_folders

    console = Console(stderr=True, soft_wrap=True)
    if problem := unusable_output(output):
        raise SettingsError("The models could not be written when it is decided.", problem)
    protocol, shipped = find_protocol("folds"), find_model(model_for)
    parts = match(protocol, model_folders([*map(find_model, model or []), models]))
    missing = [part for part in protocol.parts if part.name not in parts]
    if missing:
        raise SettingsError(
            missing_message(protocol, missing, data, models, ()),
            "Run them first, with the options of the others.",
        )
    names = [folder.name for folder in (*parts.values(), shipped)]
    if len(set(names)) < len(names):
        raise SettingsError(f"Two of {', '.join(names)} have one name.", "Rename the folder of one of them.")
    refuse_as_evidence(protocol, parts, shipped)
    with tasks_progress(console) as advance:
        looker = Looker(data, clean_cache, report, threads, advance)
        looked, own = looker.tested(protocol, parts), looker.validated(shipped)
    table = Table("model", "threshold", "temperature", "veto from", "image's share", "class named from")
    with console.status("choosing"):
        decided = decide_across(protocol, looked, shipped, own)
    for one in decided:
        write_decided(one, output / one.model.name, version)
        now = one.decisions
        table.add_row(
            one.model.name,
            *(
                f"{value:g}"
                for value in (
                    now.threshold,
                    now.temperature,
                    now.normal_veto,
                    now.veto_image_share,
                    now.abstain_below,
                )
            ),
        )
    Console().print(table)
    console.print(f"{output}")
