"""``discomfort pool`` as it is typed: its options and its help."""

from __future__ import annotations

from typing import Annotated

import typer

from discomfort.cli import help_texts
from discomfort.cli.guarded import guarded
from discomfort.cli.options import VerboseOption
from discomfort.cli.terminal import Terminal

WatchOption = Annotated[
    bool, typer.Option("--watch", "-w", help="Show it again every second, until Ctrl-C; with --json a line each time.")
]
StatusJsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, a list of pools.")]


def status(watch: WatchOption = False, as_json: StatusJsonOption = False, verbose: VerboseOption = 0) -> None:
    """Show the pools that run on this machine, in any program of this user.

    For each pool: its process, how many runs wait, run and have ended; its servers with their state, the run that they
    execute, the models that they hold as far as the pool knows, their video memory, the models that they have loaded,
    and the seconds in which they executed, loaded and were idle; its tenants with their runs and shares.

    A pool whose program blocks its event loop does not answer. Exit code 0 also if there is no pool.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.pool_table import status_command

        return status_command(terminal, watch=watch, as_json=as_json)

    guarded(work, verbose=verbose)


def pool_commands() -> typer.Typer:
    """The commands below ``discomfort pool``."""
    app = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.callback()(_pool)
    app.command(
        "status",
        short_help="Show the pools that run on this machine.",
        epilog=help_texts.epilog(help_texts.POOL_STATUS),
    )(status)
    return app


def _pool() -> None:
    """Show the pools that run on this machine: many servers behind one queue. discomfort run --pool makes one."""
