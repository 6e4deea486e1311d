"""Commands about conversions as they are typed, ``convert`` and ``explain``: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli.connect import read_target
from discomfort.cli.guarded import guarded
from discomfort.cli.inputs import read_sources
from discomfort.cli.options import (
    AttachOption,
    ConfigOption,
    EngineOption,
    HeaderOption,
    JsonOption,
    ProxyOption,
    QuietOption,
    VerboseOption,
    WorkflowArgument,
)
from discomfort.cli.terminal import Terminal

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


def convert(
    workflows: WorkflowArgument,
    output: PromptFileOption = None,
    config: ConfigOption = None,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Convert workflows to API prompts, exactly as the installed ComfyUI frontend does.

    The prompt is printed to stdout as JSON; several are printed as one object, by file name. With -o the prompts are
    written to files, and their names are printed to stdout.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.convert import ConvertOptions, convert_command, plan_files

        target = read_target(config, engine, attach, header, proxy)
        files = plan_files(workflows, output)
        return convert_command(ConvertOptions(read_sources(workflows), target, files), terminal)

    guarded(work, quiet=quiet, verbose=verbose)


def explain(
    workflows: WorkflowArgument,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show what the conversion of a workflow does with each node, and why.

    Each node is kept, muted, bypassed, replaced by the frontend, or missing on the server. For a missing one the pack
    that the workflow names is shown, and the command that installs it. On stdout: a table on a terminal; in a pipe one
    line for each node; with --json one document {workflow, path, nodes, install, prompt, error}, a list of them for
    several workflows. Exit code 1 if node types are missing.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.explain import ExplainOptions, explain_command

        target = read_target(config, engine, attach, header, proxy)
        return explain_command(ExplainOptions(read_sources(workflows), target, as_json), terminal)

    guarded(work, quiet=quiet, verbose=verbose)
