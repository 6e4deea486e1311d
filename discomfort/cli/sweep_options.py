"""``discomfort sweep`` as it is typed: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli.connect import read_target
from discomfort.cli.guarded import guarded
from discomfort.cli.inputs import UsageError, check_timeout, read_sources
from discomfort.cli.options import (
    AllowPaidOption,
    AttachOption,
    ConfigOption,
    EngineOption,
    HeaderOption,
    ProxyOption,
    QuietOption,
    TimeoutOption,
    VerboseOption,
)
from discomfort.cli.terminal import Terminal

JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON for each row to stdout.")]
OneWorkflowArgument = Annotated[
    str,
    typer.Argument(metavar="WORKFLOW", help="Workflow or prompt, as JSON, in a PNG, or - for standard input."),
]
GridOption = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        metavar="NAME=VALUES",
        help="The values of an input: a range 0..7, a list 5,7 or a|b, a single one, files. Repeatable.",
        show_default=False,
    ),
]
TableOption = Annotated[
    Path | None,
    typer.Option(
        "--table",
        metavar="FILE",
        help="CSV, or JSON lines (.jsonl): one row for each line; the columns are names of inputs.",
        show_default=False,
    ),
]
SweepFolderOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the results; what is done there is kept.")
]
ParallelOption = Annotated[int, typer.Option("--parallel", metavar="N", help="How many rows are under way at once.")]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="End at the first row that fails; all values are checked first.")
]
NoSheetOption = Annotated[bool, typer.Option("--no-contact-sheet", help="Make no contact sheet.")]


def sweep(
    workflow: OneWorkflowArgument,
    grid: GridOption = None,
    table: TableOption = None,
    output: SweepFolderOption = Path("sweep"),
    parallel: ParallelOption = 2,
    fail_fast: FailFastOption = False,
    no_sheet: NoSheetOption = False,
    as_json: JsonLinesOption = False,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
    allow_paid: AllowPaidOption = False,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Run one workflow with every combination of values, and save what comes out into a folder that remembers it.

    Started again, also after Ctrl-C, a kill or a power cut, the same command makes only what is missing. Rows count as
    done by the prompt, its values and the contents of its input files.

    NAME is a name of the workflow's interface, or NODE.INPUT. --grid seed=0..7 has eight values (0..100..10: in steps
    of 10), --grid cfg=5,7 and --grid 'prompt=a|b' have two, --grid 'photo=in/*.png' one for each file; texts are
    divided by | only. Several of them multiply, as do the rows of --table; the last one changes fastest.

    Results are named by what differs between the rows (seed=3_cfg=5.png). results.csv and results.jsonl have all rows
    with times and errors, contact_sheet.jpg all pictures. On stdout, in a pipe: the saved paths, one per line; with
    --json one line of JSON for each row, as in results.jsonl. A row that fails is tried again the next time. Exit code
    1 if a row failed.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.grid_values import read_grid
        from discomfort.cli.sweeping import SweepOptions, sweep_command

        if parallel < 1:
            raise UsageError(f"--parallel {parallel}: must be at least 1")
        options = SweepOptions(
            source=read_sources([workflow])[0],
            folder=output,
            grid=read_grid(grid or []),
            table=table,
            target=read_target(config, engine, attach, header, proxy),
            parallel=parallel,
            on_error="raise" if fail_fast else "return",
            contact_sheet=not no_sheet,
            json=as_json,
            timeout=check_timeout(timeout),
            allow_paid=allow_paid or None,
        )
        return sweep_command(options, terminal)

    guarded(work, quiet=quiet, verbose=verbose)
