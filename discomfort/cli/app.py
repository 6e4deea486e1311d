"""The commands of ``discomfort``: a table. Their options are in the ``*_options`` modules, their work in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from discomfort.cli import help_texts
from discomfort.cli.convert_options import convert, explain
from discomfort.cli.exit_codes import FAILED, USAGE
from discomfort.cli.inputs import UsageError
from discomfort.cli.interface_options import interface, ports, stubs
from discomfort.cli.pool_options import pool_commands
from discomfort.cli.provide_options import plan, provide
from discomfort.cli.run_options import run
from discomfort.cli.server_options import conformance, doctor, serve, snapshot
from discomfort.cli.sweep_options import sweep
from discomfort.cli.terminal import Terminal, make_streams_safe

_INTERRUPTED_BY_TYPER = 130
"""typer's exit code for Ctrl-C outside of a run; ours is 1."""


def invoke(arguments: Sequence[str]) -> int:
    """Parse the command line and run its command; ends with SystemExit, as typer does, which carries the exit code."""
    make_streams_safe()
    try:
        app, own = build_app(), list(arguments)
        named: dict[str, str | None] = {}
        if own[:1] == ["run"]:
            # Only for this command: it loads what runs need.
            from discomfort.cli.run_help import run_help, split_run

            own, named = split_run(app, own)
            code = run_help(app, own)
            if code is not None:
                return code
        app(args=own, prog_name="discomfort", obj=named)
    except UsageError as error:
        Terminal().explain(error)
        return USAGE
    except SystemExit as end:
        if end.code == _INTERRUPTED_BY_TYPER:
            return FAILED
        raise
    return 0


def build_app() -> typer.Typer:
    """The application. Its help is plain text, which is the same on a terminal, in a pipe and in a log."""
    app = typer.Typer(
        name="discomfort",
        help="Run ComfyUI workflows from the command line: start ComfyUI, convert, run, save every output, clean up.",
        epilog=help_texts.epilog(help_texts.TOP),
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    for name, command, short, examples in (
        ("run", run, "Run workflows and save their outputs.", help_texts.RUN),
        ("sweep", sweep, "Run one workflow with many values; resumable.", help_texts.SWEEP),
        ("convert", convert, "Convert workflows to API prompts.", help_texts.CONVERT),
        ("explain", explain, "Show what a conversion does with each node.", help_texts.EXPLAIN),
        ("plan", plan, "Show what workflows need, and what is missing.", help_texts.PLAN),
        ("provide", provide, "Fetch the models and packs that workflows lack.", help_texts.PROVIDE),
        ("interface", interface, "Show the named inputs and outputs of workflows.", help_texts.INTERFACE),
        ("stubs", stubs, "Write types of workflows for editors and checkers.", help_texts.STUBS),
        ("ports", ports, "List the ports of workflows, without a server.", help_texts.PORTS),
        ("doctor", doctor, "Check everything that a run needs.", help_texts.DOCTOR),
        ("conformance", conformance, "Report where a server differs from ComfyUI.", help_texts.CONFORMANCE),
        ("snapshot", snapshot, "Save a server's node definitions.", help_texts.SNAPSHOT),
    ):
        app.command(name, short_help=short, epilog=help_texts.epilog(examples))(command)
    app.add_typer(pool_commands(), name="pool", short_help="Show the pools that run on this machine.")
    app.command(
        "serve",
        short_help="Serve the emulator: ComfyUI's API without torch.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    )(serve)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from discomfort._version import __version__

        typer.echo(f"discomfort {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
