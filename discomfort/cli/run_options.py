"""``discomfort run`` as it is typed: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from discomfort.cli.connect import read_target
from discomfort.cli.guarded import guarded
from discomfort.cli.options import (
    AllowPaidOption,
    AttachOption,
    ConfigOption,
    EngineOption,
    HeaderOption,
    JsonOption,
    ProxyOption,
    QuietOption,
    SidecarOption,
    TimeoutOption,
    VerboseOption,
    WorkflowArgument,
)
from discomfort.cli.terminal import Terminal

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NODE.INPUT=VALUE",
        help="Set an input before running; NODE is a node's title, class or id, or a path of these into a subgraph"
        " (Host/Node.seed). 0..19 and a|b are one run each."
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


PoolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pool",
        metavar="SERVERS",
        help="Do the runs on several servers at once: a number of them, gpus, gpu:0,2, or URLs with commas between.",
        show_default=False,
    ),
]
RetryOption = Annotated[
    int,
    typer.Option(
        "--retry",
        metavar="N",
        help="With --pool: begin a run again, N times at most, when its server is lost.",
        show_default=False,
    ),
]


# Longer than other functions: the parameters are the options of the command, and the docstring is its help.
def run(
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
    pool: PoolOption = None,
    retry: RetryOption = 0,
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

    Pools: --pool 4 does the runs on four servers at once, which are started here; --pool gpus on one for each GPU,
    --pool gpu:0,2 on two of them; --pool URL,URL on servers that run already. A run goes to a server that holds its
    models. Results come as runs end, each with its server (in --json: server).

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
        from discomfort.cli.pool_choice import read_pool
        from discomfort.cli.run_choice import GivenRun
        from discomfort.cli.run_help import own_options

        chosen = read_pool(pool or [], retry)
        given = GivenRun(
            workflows=workflows,
            target=read_target(config, engine, attach, header, proxy, chosen),
            named=dict(context.obj or {}),
            own=sorted(own_options(context.command).names),
            values=values or [],
            files=files or [],
            iterations=iterations,
            assignments=assignments or [],
            repeat=repeat,
            csv=csv,
            inputs=inputs or [],
            output=output,
            name=name,
            sidecar=sidecar,
            skip_existing=skip_existing,
            json=as_json,
            timeout=timeout,
            allow_paid=allow_paid or None,
            pool=chosen,
            retry=retry,
        )
        return given.perform(terminal)

    guarded(work, quiet=quiet, verbose=verbose)
