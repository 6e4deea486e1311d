"""The options and arguments that several commands share, with their help; each is declared once."""

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", help="Time limit for each run; with ports, for all of them.", show_default=False
    ),
]
AllowPaidOption = Annotated[
    bool,
    typer.Option("--allow-paid", help="Run nodes that cost money; the key is $DISCOMFORT_API_KEY."),
]
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
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace an existing file.")]
SidecarOption = Annotated[
    Path | None,
    typer.Option(
        "--interface",
        metavar="FILE",
        help="Sidecar with the names of inputs and outputs (default: WORKFLOW.discomfort.yaml beside the workflow).",
        show_default=False,
    ),
]
