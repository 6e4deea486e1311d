"""The options and arguments of the commands with their help; what several commands share is declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineChoice(StrEnum):
    """The choices of ``--engine``."""

    AUTO = "auto"
    COMFYUI = "comfyui"
    EMULATOR = "emulator"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="JSON configuration file.", show_default=False),
]
EngineOption = Annotated[
    EngineChoice | None,
    typer.Option(
        "--engine",
        help="Overrides the configured engine; auto uses ComfyUI if found, else the embedded emulator.",
        show_default=False,
    ),
]
AttachOption = Annotated[
    str | None,
    typer.Option("--attach", metavar="URL", help="Use a running server; it is not stopped.", show_default=False),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="'NAME: VALUE'",
        help="Send this header with every request to that server; @FILE reads one per line. Repeatable.",
        show_default=False,
    ),
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        metavar="URL",
        help="Reach that server through an HTTP proxy, such as http://proxy.example:3128.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NODE.INPUT=VALUE",
        help="Set an input before running; NODE is a node's title, class or id. 0..19 and a|b are one run each."
        " Repeatable.",
        show_default=False,
    ),
]
InOption = Annotated[
    list[str] | None,
    typer.Option(
        "--in",
        metavar="NAME=VALUE",
        help="Value for the INPUT ports of that name: JSON or text, a picture's file for IMAGE, or @FILE. Repeatable.",
        show_default=False,
    ),
]
OutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--out",
        metavar="NAME=FILE",
        help="File for the value of an OUTPUT port, replaced if it exists; the suffix is its format. Repeatable.",
        show_default=False,
    ),
]
IterationsOption = Annotated[
    int | None,
    typer.Option("--iterations", metavar="N", help="Run the workflows with ports N times over.", show_default=False),
]
InputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="Upload a file to the server's input folder, and delete it there at the end. Repeatable.",
        show_default=False,
    ),
]
RepeatOption = Annotated[int, typer.Option("--repeat", metavar="N", help="Do every run N times.", show_default=False)]
CsvOption = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        metavar="FILE",
        help="One run for each row; the first line has a selector (NODE.INPUT) for each column.",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="PATTERN",
        help="Name of the saved files, such as '{workflow}-{KSampler.seed}-{index}'.",
        show_default=False,
    ),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-existing", help="With --name: leave out runs whose file is there already.")
]
SaveOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to save outputs in; nothing is overwritten.")
]
PromptFileOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR",
        help="File, or folder for several prompts (default: stdout).",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", help="Time limit for each run; with ports, for all of them.", show_default=False
    ),
]
PlanSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NODE.INPUT=VALUE",
        help="Plan with this value; NODE is a node's title, class or id. Repeatable.",
        show_default=False,
    ),
]
OnlineOption = Annotated[
    bool,
    typer.Option("--online", help="Ask the hosts of missing models for sizes, digests, and whether they are gated."),
]
AllowPaidOption = Annotated[
    bool,
    typer.Option("--allow-paid", help="Run nodes that cost money; the key is $DISCOMFORT_API_KEY."),
]
AgreeOption = Annotated[bool, typer.Option("--yes", help="Fetch and install without asking.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be fetched and installed.")]
FetchTimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="Time limit for the models of one workflow.", show_default=False),
]
ModelsOption = Annotated[
    Path | None,
    typer.Option(
        "--models-directory",
        metavar="DIR",
        help="With --attach: the server's folder of models, if this machine has it.",
        show_default=False,
    ),
]
PrivateOption = Annotated[
    bool, typer.Option("--allow-private", help="Also fetch from addresses of this machine and of private networks.")
]
ExtensionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--extension",
        metavar=".EXT",
        help="Also fetch models whose names end in this. Repeatable.",
        show_default=False,
    ),
]
AnyVersionOption = Annotated[
    bool, typer.Option("--any-version", help="Take the newest pack if the wanted version is not in its repository.")
]
StartOption = Annotated[bool, typer.Option("--start", help="Also start the server and run the self-test.")]
CleanOption = Annotated[
    bool,
    typer.Option("--clean", help="Instead of the checks, show what dead connectors left, and remove it after asking."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="With --clean: remove without asking.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors on stderr.")]
VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Log and tracebacks on stderr; -vv: everything.", show_default=False
    ),
]
WorkflowArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="WORKFLOW",
        help="Workflow as saved by the UI, or API prompt: a JSON file, a PNG that contains one, or - for stdin.",
        show_default=False,
    ),
]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The server's address.", show_default=False)]
SnapshotOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="File, gzipped if its name ends in .gz; - is stdout."),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an existing file.")]
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
