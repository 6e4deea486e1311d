"""The options and arguments that several commands share, each with its help, declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EngineChoice(StrEnum):
    """What may run the prompts."""

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
        help="What runs the prompts, over the configuration; auto finds ComfyUI, else takes the embedded emulator.",
        show_default=False,
    ),
]
AttachOption = Annotated[
    str | None,
    typer.Option(
        "--attach", metavar="URL", help="Use the server that runs there; it is not stopped.", show_default=False
    ),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="'NAME: VALUE'",
        help="Sent with every request to that server; @FILE reads them from a file, one per line. Repeatable.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NODE.INPUT=VALUE",
        help="Set an input before running; NODE is a node's title, class or id. Repeatable.",
        show_default=False,
    ),
]
InputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="Put a file into the server's input folder, and take it away at the end. Repeatable.",
        show_default=False,
    ),
]
SaveOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Where outputs are saved; nothing is overwritten.")
]
PromptFileOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE|DIR", help="File, or folder for several; else stdout.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="Give each workflow so long, and no longer.", show_default=False),
]
StartOption = Annotated[bool, typer.Option("--start", help="Also start the server and run the self-test.")]
CleanOption = Annotated[
    bool, typer.Option("--clean", help="Show what dead connectors left, ask, and remove it; no other checks.")
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
        help="Workflow as the UI saves it, or API prompt: a JSON file, a PNG that carries one, or - for stdin.",
        show_default=False,
    ),
]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The server's address.", show_default=False)]
SnapshotOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="File, gzipped where it ends in .gz; - is stdout."),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace a file that is there.")]
AgainstOption = Annotated[
    str | None, typer.Option("--against", metavar="URL", help="The server to check.", show_default=False)
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="PATTERN",
        help="Only checks, or areas, of that name; * and ? stand for any.",
        show_default=False,
    ),
]
ExclusiveOption = Annotated[
    bool,
    typer.Option(
        "--exclusive",
        help="Nobody else uses the server: also clear its queue and history, interrupt whatever runs, free its memory.",
    ),
]
ListOption = Annotated[bool, typer.Option("--list", help="Name the checks, and do nothing else.")]
