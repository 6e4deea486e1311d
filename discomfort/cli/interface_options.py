"""Commands about inputs and outputs as they are typed, ``interface``, ``stubs``, ``ports``: options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli.connect import read_target
from discomfort.cli.guarded import guarded
from discomfort.cli.inputs import check_directory, read_sources
from discomfort.cli.options import (
    AttachOption,
    ConfigOption,
    EngineOption,
    ForceOption,
    HeaderOption,
    JsonOption,
    ProxyOption,
    QuietOption,
    SidecarOption,
    VerboseOption,
    WorkflowArgument,
)
from discomfort.cli.terminal import Terminal

WriteOption = Annotated[
    bool, typer.Option("--write", help="Write the sidecar WORKFLOW.discomfort.yaml beside the workflow, to be edited.")
]
StubsOption = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the modules.")]


def interface(
    workflows: WorkflowArgument,
    write: WriteOption = False,
    force: ForceOption = False,
    sidecar: SidecarOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show the named inputs and outputs of a workflow, with types, bounds and defaults. Nothing is run.

    Names come from a sidecar, from ports, from ComfyUI's App Mode, and from nodes of other packs that declare inputs;
    types, bounds and choices from the server. Entries that cannot be used are listed with the reason; exit code 1 if
    there are any. --write makes a sidecar of it, in which you rename, describe, bound and hide inputs; for a workflow
    that declares nothing it has all candidates as comments. --force replaces a sidecar, but none with entries that
    cannot be used, since they would be lost. --json gives one document {workflow, inputs, outputs,
    problems, schema, error}, a list of them for several workflows; schema is the JSON Schema of the inputs.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.interface_command import InterfaceOptions, interface_command

        target = read_target(config, engine, attach, header, proxy)
        options = InterfaceOptions(read_sources(workflows), target, sidecar, write=write, force=force, json=as_json)
        return interface_command(options, terminal)

    guarded(work, quiet=quiet, verbose=verbose)


def stubs(
    workflows: WorkflowArgument,
    output: StubsOption = Path("stubs"),
    sidecar: SidecarOption = None,
    config: ConfigOption = None,
    engine: EngineOption = None,
    attach: AttachOption = None,
    header: HeaderOption = None,
    proxy: ProxyOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Write a module for each workflow, with which editors complete and type checkers check its calls.

    For upscale.json it is upscale.py, whose load(connector) returns the function, and upscale.pyi with its types: the
    names, types and choices of the inputs, and the outputs. The choices are those of the server that is asked. The
    names of the .pyi files are printed to stdout.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.stubs_command import StubOptions, stubs_command

        target = read_target(config, engine, attach, header, proxy)
        check_directory(output)
        return stubs_command(StubOptions(read_sources(workflows), target, sidecar, output), terminal)

    guarded(work, quiet=quiet, verbose=verbose)


def ports(
    workflows: WorkflowArgument,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """List the ports of a workflow: role, id, type, node, and what is wrong. No server is started.

    The role is input, output, passthru (connected on both sides), unconnected, or inactive (muted or bypassed). On
    stdout: a table on a terminal; in a pipe one line for each port; with --json one document {workflow, ports, error},
    a list of them for several workflows. Exit code 1 if a port has a problem that makes a run fail, such as no id.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.port_list import ports_command

        return ports_command(read_sources(workflows), terminal, as_json=as_json)

    guarded(work, quiet=quiet, verbose=verbose)
