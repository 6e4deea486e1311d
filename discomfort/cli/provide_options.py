"""Commands about what workflows need as they are typed, ``plan`` and ``provide``: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli.connect import read_target
from discomfort.cli.guarded import guarded
from discomfort.cli.inputs import check_timeout, read_sources
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

PlanSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NODE.INPUT=VALUE",
        help="Plan with this value; NODE is a node's title, class or id, or a path into a subgraph. Repeatable.",
        show_default=False,
    ),
]
OnlineOption = Annotated[
    bool,
    typer.Option("--online", help="Ask the hosts of missing models for sizes, digests, and whether they are gated."),
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
ReserveOption = Annotated[
    int | None,
    typer.Option(
        "--reserve",
        metavar="MB",
        min=0,
        help="Megabytes of the disk that stay free; 1074 unless given.",
        show_default=False,
    ),
]


def plan(
    workflows: WorkflowArgument,
    assignments: PlanSetOption = None,
    online: OnlineOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show what a workflow needs before it can run, and what of it is missing. Nothing is run or fetched.

    Models with folder, URL and digest as the workflow has them; node packs with the command that installs them, or the
    error with which they did not load; input files, values that the server refuses with the nearest allowed ones, and
    nodes that cost money. --json gives one document {workflow, ready, models, packs, files, values, partners, ...}, a
    list of them for several workflows. Exit code 1 if something is missing.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.plan_command import PlanOptions, plan_command, read_assignments

        target = read_target(config, engine, attach, header, proxy)
        values = read_assignments(assignments or [])
        options = PlanOptions(read_sources(workflows), target, values, online=online, json=as_json)
        return plan_command(options, terminal)

    guarded(work, quiet=quiet, verbose=verbose)


# Longer than other functions: the parameters are the options of the command, and the docstring is its help.
def provide(
    workflows: WorkflowArgument,
    assignments: PlanSetOption = None,
    yes: AgreeOption = False,
    dry_run: DryRunOption = False,
    timeout: FetchTimeoutOption = None,
    models_directory: ModelsOption = None,
    allow_private: PrivateOption = False,
    extensions: ExtensionOption = None,
    any_version: AnyVersionOption = False,
    reserve: ReserveOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Fetch the models and install the node packs that a workflow lacks, after showing them and asking.

    Each model is shown with host, size, hash and target. What was stopped goes on where it was; a file of other content
    is never replaced. Tokens come from HF_TOKEN, CIVITAI_API_TOKEN, DOWNLOAD_TOKEN_<HOST>, or the keyring. Packs are
    installed by ComfyUI's manager, comfy-cli or git, and their code may do all that you may. Without a terminal, --yes
    is needed. --json gives one document {workflow, complete, items, proposal, plan, error}, a list of them for several
    workflows. Exit code 1 if something is still missing.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.plan_command import read_assignments
        from discomfort.cli.provide_command import ProvideCommandOptions, provide_command

        target = read_target(config, engine, attach, header, proxy)
        how = {
            "timeout": check_timeout(timeout),
            "models_directory": models_directory,
            "allow_private": allow_private,
            "extensions": extensions or [],
            "any_version": any_version,
        }
        if reserve is not None:
            how["reserve"] = reserve * 1_000_000
        options = ProvideCommandOptions(
            sources=read_sources(workflows),
            target=target,
            values=read_assignments(assignments or []),
            yes=yes,
            dry_run=dry_run,
            json=as_json,
            how=how,
        )
        return provide_command(options, terminal)

    guarded(work, quiet=quiet, verbose=verbose)
