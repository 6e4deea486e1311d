"""Commands about servers as they are typed, ``doctor``, ``snapshot``, ``conformance``, ``serve``: options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli.connect import ServerTarget
from discomfort.cli.guarded import guarded
from discomfort.cli.inputs import UsageError, check_target, check_url, read_headers
from discomfort.cli.options import (
    ConfigOption,
    EngineOption,
    ForceOption,
    HeaderOption,
    JsonOption,
    ProxyOption,
    QuietOption,
    VerboseOption,
)
from discomfort.cli.terminal import Terminal

StartOption = Annotated[bool, typer.Option("--start", help="Also start the server and run the self-test.")]
CleanOption = Annotated[
    bool,
    typer.Option("--clean", help="Instead of the checks, show what dead connectors left, and remove it after asking."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="With --clean: remove without asking.")]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The server's address.", show_default=False)]
SnapshotOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="File, gzipped if its name ends in .gz; - is stdout."),
]
AgainstOption = Annotated[
    str | None, typer.Option("--against", metavar="URL", help="The server to check.", show_default=False)
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="PATTERN",
        help="Run only checks or areas with this name; * and ? are wildcards. Repeatable.",
        show_default=False,
    ),
]
ExclusiveOption = Annotated[
    bool,
    typer.Option(
        "--exclusive",
        help="The server has no other users: also clear its queue and history, interrupt its run, free its memory.",
    ),
]
ListOption = Annotated[bool, typer.Option("--list", help="List the checks and exit.")]


def doctor(
    as_json: JsonOption = False,
    config: ConfigOption = None,
    engine: EngineOption = None,
    start: StartOption = False,
    clean: CleanOption = False,
    yes: YesOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Check everything that a run needs, and say what to do about each problem.

    With --clean, search instead for what dead connectors left: servers, private folders, ephemeral uploads. They are
    listed, and removed after asking; without a terminal, only with --yes. Nothing of a live process is touched.
    """

    def work(terminal: Terminal) -> int:
        if clean:
            from discomfort.cli.cleaning import clean_command

            return clean_command(terminal, as_json=as_json, is_agreed=yes)
        from discomfort.cli.doctor import doctor_command

        target = ServerTarget(config, check_target(engine, None))
        return doctor_command(target, terminal, as_json=as_json, start=start)

    guarded(work, quiet=False, verbose=verbose)


def snapshot(
    url: UrlArgument,
    output: SnapshotOption = Path("-"),
    force: ForceOption = False,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Save the node definitions of a server, its /object_info, for discomfort serve --object-info.

    With the file, workflows can be converted and prompts validated without that server, on a laptop or in CI. The file
    is gzipped if its name ends in .gz; equal definitions give equal files.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.snapshot import SnapshotOptions, snapshot_command

        options = SnapshotOptions(check_url(url), read_headers(header or []), output, force=force, proxy=proxy)
        return snapshot_command(options, terminal)

    guarded(work, quiet=quiet, verbose=verbose)


def conformance(
    against: AgainstOption = None,
    only: OnlyOption = None,
    exclusive: ExclusiveOption = False,
    listing: ListOption = False,
    as_json: JsonOption = False,
    header: HeaderOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Check through its URL whether a server behaves like ComfyUI of its version, and report each difference.

    The checks know ComfyUI 0.3.64 to 0.33.0, and --list says since which release each holds. A newer server is checked
    as 0.33.0. It touches only its own prompts and files, whose names begin with discomfort-conformance; two small
    pictures remain in the input and the output folder. Exit code 0: no difference; 1: some differences; 2: no server.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.conformance import ConformanceOptions, conformance_command, list_command

        if listing:
            return list_command(only or [], terminal, as_json=as_json)
        if against is None:
            raise UsageError("--against URL is needed: the server to check (or --list to list the checks)")
        headers = read_headers(header or [])
        options = ConformanceOptions(check_url(against), headers, only or [], exclusive=exclusive, json=as_json)
        return conformance_command(options, terminal)

    guarded(work, quiet=quiet, verbose=verbose)


def serve(context: typer.Context) -> None:
    """Serve the embedded emulator: ComfyUI's API without torch. See discomfort serve --help."""
    from comfyui_emulator import main as serve

    raise typer.Exit(serve(context.args))
