"""The command line's grammar and its help; what the commands do is in their own modules."""

# Longer than 400 lines: the options of a command are its parameters, and its docstring is its help.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli import help_texts
from discomfort.cli.connect import ServerTarget, read_target
from discomfort.cli.exit_codes import FAILED, USAGE
from discomfort.cli.guarded import guarded as _guarded
from discomfort.cli.inputs import (
    Source,
    UsageError,
    check_directory,
    check_files,
    check_target,
    check_timeout,
    check_url,
    read_headers,
    read_pairs,
    read_sources,
)
from discomfort.cli.interface_options import SidecarOption, interface, stubs
from discomfort.cli.options import (
    AgainstOption,
    AgreeOption,
    AllowPaidOption,
    AnyVersionOption,
    AttachOption,
    CleanOption,
    ConfigOption,
    CsvOption,
    DryRunOption,
    EngineOption,
    ExclusiveOption,
    ExtensionOption,
    FailFastOption,
    FetchTimeoutOption,
    ForceOption,
    GridOption,
    HeaderOption,
    InOption,
    InputOption,
    IterationsOption,
    JsonOption,
    ListOption,
    ModelsOption,
    NameOption,
    NoSheetOption,
    OneWorkflowArgument,
    OnlineOption,
    OnlyOption,
    OutOption,
    ParallelOption,
    PlanSetOption,
    PrivateOption,
    PromptFileOption,
    ProxyOption,
    QuietOption,
    RepeatOption,
    SaveOption,
    SetOption,
    SkipOption,
    SnapshotOption,
    StartOption,
    SweepFolderOption,
    TableOption,
    TimeoutOption,
    UrlArgument,
    VerboseOption,
    WorkflowArgument,
    YesOption,
)
from discomfort.cli.run_help import own_options, run_help, split_run
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
        ("run", _run, "Run workflows and save their outputs.", help_texts.RUN),
        ("sweep", _sweep, "Run one workflow with many values; resumable.", help_texts.SWEEP),
        ("convert", _convert, "Convert workflows to API prompts.", help_texts.CONVERT),
        ("explain", _explain, "Show what a conversion does with each node.", help_texts.EXPLAIN),
        ("plan", _plan, "Show what workflows need, and what is missing.", help_texts.PLAN),
        ("provide", _provide, "Fetch the models and packs that workflows lack.", help_texts.PROVIDE),
        ("interface", interface, "Show the named inputs and outputs of workflows.", help_texts.INTERFACE),
        ("stubs", stubs, "Write types of workflows for editors and checkers.", help_texts.STUBS),
        ("ports", _ports, "List the ports of workflows, without a server.", help_texts.PORTS),
        ("doctor", _doctor, "Check everything that a run needs.", help_texts.DOCTOR),
        ("conformance", _conformance, "Report where a server differs from ComfyUI.", help_texts.CONFORMANCE),
        ("snapshot", _snapshot, "Save a server's node definitions.", help_texts.SNAPSHOT),
    ):
        app.command(name, short_help=short, epilog=help_texts.epilog(examples))(command)
    app.command(
        "serve",
        short_help="Serve the emulator: ComfyUI's API without torch.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    )(_serve)
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


# Longer than other functions: the parameters are the options of the command, and the docstring is its help.
def _run(
    context: typer.Context,
    workflows: WorkflowArgument,
    values: InOption = None,
    files: OutOption = None,
    iterations: IterationsOption = None,
    assignments: SetOption = None,
    repeat: RepeatOption = 1,
    csv: CsvOption = None,
    inputs: InputOption = None,
    output: SaveOption = Path("output"),
    name: NameOption = None,
    sidecar: SidecarOption = None,
    skip_existing: SkipOption = False,
    as_json: JsonOption = False,
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
    """Run workflows and save their outputs.

    Progress and messages go to stderr. On stdout: a table of the outputs on a terminal; in a pipe the saved paths, one
    per line; with --json one document {workflow, index, values, prompt_id, status, seconds, outputs, history, error}, a
    list of them for several workflows.

    Named inputs: --NAME VALUE gives a value to an input of the workflow's interface (--tiled and --no-tiled where it is
    true or false); discomfort run WORKFLOW --help shows them. A name that is also an option here is given by
    --in NAME=VALUE. @FILE reads a text from a file. They go with all options for batches.

    Batches: --set NODE.INPUT=0..19 is one run for each number (0..100..10: in steps of 10), --set 'NODE.INPUT=a|b' one
    for each text. Several of them multiply, as do the rows of --csv and --repeat; the last one changes fastest. For a
    single value that looks like this, write it as JSON ('"a|b"'), or \\| for a |; in braces, as in {red|blue}, a | is
    text. All values are checked before the first run. With --json a batch writes one line of JSON for each run.

    --name PATTERN names the files: {workflow}, {index} (of the run, from 1; {index:3} is 007), {repeat}, {NODE.INPUT};
    {{ and }} are braces, / makes folders below --output. The files of one run after the first get _2, _3 ...

    Ports: workflows with ports (discomfort ports WORKFLOW lists them) run as one list, in order. What an OUTPUT port
    gives, the INPUT ports of its name take in the workflows after it, and in the next iteration. --in gives the other
    values: the file of a picture or mask for IMAGE and MASK, .latent or .safetensors for other data, the file itself
    for a video, else JSON or text; @FILE reads text from a file, and @@ is one @. --out names the file of a value; the
    suffix is its format: a picture, .json, .txt, .npy, .safetensors, .latent. Pictures and data without --out are saved
    in --output, by the name of the port; numbers and texts go to stdout. --json gives one document for the list.
    """

    def work(terminal: Terminal) -> int:
        from discomfort.cli.named_calls import divided
        from discomfort.cli.port_run import ListOptions, check_iterations, list_command, refuse_batches, wants_list

        target, uploads = read_target(config, engine, attach, header, proxy), inputs or []
        check_files(uploads)
        check_directory(output)
        sources = read_sources(workflows)
        is_list = bool(files) or iterations is not None
        given, named = divided(dict(context.obj or {}), read_pairs("--in", values or []), sources, is_list=is_list)
        if named or not wants_list(sources, list(given), files or [], iterations):
            return batches(terminal, sources, target, uploads, named)
        refuse_batches(
            {
                "--set": assignments,
                "--repeat": repeat != 1,
                "--csv": csv,
                "--name": name,
                "--skip-existing": skip_existing,
            }
        )
        options = ListOptions(
            sources=sources,
            target=target,
            given=given,
            files=read_pairs("--out", files or []),
            iterations=check_iterations(iterations),
            uploads=uploads,
            output=output,
            json=as_json,
            timeout=check_timeout(timeout),
            allow_paid=allow_paid or None,
        )
        return list_command(options, terminal)

    def batches(
        terminal: Terminal,
        sources: list[Source],
        target: ServerTarget,
        uploads: list[Path],
        named: Mapping[str, str | None],
    ) -> int:
        from discomfort.cli.output_names import read_pattern
        from discomfort.cli.run import RunOptions, run_command
        from discomfort.cli.variants import read_variants

        variants = read_variants(assignments or [], csv, repeat)
        if skip_existing and name is None:
            raise UsageError("--skip-existing needs --name: without it the server chooses the names of the files")
        options = RunOptions(
            sources=sources,
            target=target,
            variants=variants,
            inputs=uploads,
            output=output,
            name=None if name is None else read_pattern(name),
            skip_existing=skip_existing,
            json=as_json,
            lines=len(variants) > 1 or csv is not None,
            timeout=check_timeout(timeout),
            named=named,
            sidecar=sidecar,
            own=sorted(own_options(build_app()).names) if named else (),
            allow_paid=allow_paid or None,
        )
        return run_command(options, terminal)

    _guarded(work, quiet=quiet, verbose=verbose)


def _sweep(
    workflow: OneWorkflowArgument,
    grid: GridOption = None,
    table: TableOption = None,
    output: SweepFolderOption = Path("sweep"),
    parallel: ParallelOption = 2,
    fail_fast: FailFastOption = False,
    no_sheet: NoSheetOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    timeout: TimeoutOption = None,
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
        )
        return sweep_command(options, terminal)

    _guarded(work, quiet=quiet, verbose=verbose)


def _convert(
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

    _guarded(work, quiet=quiet, verbose=verbose)


def _explain(
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

    _guarded(work, quiet=quiet, verbose=verbose)


def _plan(
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

    _guarded(work, quiet=quiet, verbose=verbose)


# Longer than other functions: the parameters are the options of the command, and the docstring is its help.
def _provide(
    workflows: WorkflowArgument,
    assignments: PlanSetOption = None,
    yes: AgreeOption = False,
    dry_run: DryRunOption = False,
    timeout: FetchTimeoutOption = None,
    models_directory: ModelsOption = None,
    allow_private: PrivateOption = False,
    extensions: ExtensionOption = None,
    any_version: AnyVersionOption = False,
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

    _guarded(work, quiet=quiet, verbose=verbose)


def _ports(
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

    _guarded(work, quiet=quiet, verbose=verbose)


def _doctor(
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

    _guarded(work, quiet=False, verbose=verbose)


def _snapshot(
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

    _guarded(work, quiet=quiet, verbose=verbose)


def _conformance(
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

    _guarded(work, quiet=quiet, verbose=verbose)


def _serve(context: typer.Context) -> None:
    """Serve the embedded emulator: ComfyUI's API without torch. See discomfort serve --help."""
    from comfyui_emulator import main as serve

    raise typer.Exit(serve(context.args))
