"""The command line: one file a command, each a thin door to the rooms."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.text import Text

from cad_node import __version__
from cad_node.cli.exit_codes import exit_code
from cad_node.errors import CadNodeError

app = typer.Typer(
    name="cad-node",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Breast-ultrasound CAD in the PACS network. For research and decision support, "
    "under a radiologist's eyes; not a certified medical device.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        Console().print(f"cad-node {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def _register() -> None:
    from cad_node.cli.adapt import adapt
    from cad_node.cli.answers import answers_app
    from cad_node.cli.check import check
    from cad_node.cli.clean import clean
    from cad_node.cli.compare import compare
    from cad_node.cli.decide import decide
    from cad_node.cli.demo import demo
    from cad_node.cli.dismiss import dismiss_jobs
    from cad_node.cli.evaluate import evaluate
    from cad_node.cli.explain import explain
    from cad_node.cli.export import export
    from cad_node.cli.jobs import jobs_app
    from cad_node.cli.join import join
    from cad_node.cli.process import process
    from cad_node.cli.prune import prune
    from cad_node.cli.reanalyse import reanalyse
    from cad_node.cli.serve import serve
    from cad_node.cli.train import train

    for command in (
        serve,
        process,
        reanalyse,
        prune,
        clean,
        demo,
        check,
        explain,
        train,
        join,
        decide,
        adapt,
        evaluate,
        compare,
        export,
    ):
        app.command()(command)
    jobs_app.command("dismiss")(dismiss_jobs)
    app.add_typer(jobs_app, name="jobs")
    app.add_typer(answers_app, name="answers")


_register()


def main() -> None:
    """Run the command line; errors of the node become one clear message and an exit code."""
    try:
        app()
    except CadNodeError as error:
        console = Console(stderr=True, soft_wrap=True)
        console.print(Text.assemble((f"{type(error).__name__}: ", "bold red"), error.problem))
        if error.hint:
            console.print(Text(error.hint))
        sys.exit(exit_code(error))
