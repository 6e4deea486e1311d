"""``discomfort run`` of workflows with ports: one list, whose values come from ``--in`` and go to ``--out``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from discomfort._system.concurrency import to_thread
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.exit_codes import USAGE
from discomfort.cli.input_uploads import upload_inputs
from discomfort.cli.inputs import STDIN, Source, UsageError
from discomfort.cli.port_inputs import read_inputs
from discomfort.cli.port_outputs import read_files, rows, save_value, write_value
from discomfort.cli.port_table import PortFact, port_table
from discomfort.cli.progress_bars import BatchPlace
from discomfort.cli.report import Result, save_outputs, seconds_text, show_result
from discomfort.cli.terminal import Terminal
from discomfort.cli.variants import Variant
from discomfort.exceptions import DiscomfortError
from discomfort.workflow.port_types import is_known
from discomfort.workflow.references import Reference

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.orchestration.results import Results
    from discomfort.progress import WorkflowProgress


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of a run of workflows with ports. ``timeout`` is in seconds, for the whole list."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    given: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    iterations: int = 1
    uploads: Sequence[Path] = ()
    output: Path = Path("output")
    json: bool = False
    timeout: float | None = None
    allow_paid: bool | None = None


def wants_list(sources: Sequence[Source], ins: Sequence[str], outs: Sequence[str], iterations: int | None) -> bool:
    """Whether the workflows run as one list: an option says so, or a port."""
    return bool(ins or outs or iterations is not None or port_table(sources))


def refuse_batches(options: Mapping[str, Any]) -> None:
    """Refuse the options of batches beside ports. Raises UsageError."""
    used = [name for name, value in options.items() if value]
    if used:
        raise UsageError(
            f"{used[0]} does not go with ports: the workflows run as one list, with the values of --in. "
            "For several values, run the command in a loop of the shell, or use Discomfort.run in Python"
        )


def check_iterations(iterations: int | None) -> int:
    """How often the list runs. Raises UsageError."""
    if iterations is not None and iterations < 1:
        raise UsageError(f"--iterations {iterations}: must be at least 1")
    return iterations or 1


def list_command(options: ListOptions, terminal: Terminal) -> int:
    """Run the list once, and return the exit code. Raises UsageError, OSError before a server is started."""
    broken = [(source.name, source.error) for source in options.sources if source.error is not None]
    for name, error in broken:
        terminal.explain(error, about=name)
    if broken:
        if options.json:
            terminal.write_json(Result(broken[0][0], error=broken[0][1]).as_json())
        return USAGE
    batch = ListBatch(options, terminal)
    code = batch.execute()
    if options.json:
        terminal.write_json(batch.results[0].as_json())
    return code


class ListBatch(Batch):
    """One call of ``Discomfort.run``; its values are read before the server starts, as far as their types are known."""

    stopping_means: ClassVar[str] = "taking the run off the server and shutting down"

    def __init__(self, options: ListOptions, terminal: Terminal) -> None:
        from discomfort.orchestration.tools import WorkflowTools

        self._options = options
        self._labels = [source.label for source in options.sources]
        self._tools = WorkflowTools()
        self._table = port_table(options.sources)
        self._inputs = read_inputs(options.given, self._table)
        self._files = read_files(options.files, self._table)
        self._at: tuple[int, int] = (0, 0)
        whole = Source(" ".join(source.name for source in options.sources))
        super().__init__([whole], replace(options.target, loads_nodes=True), terminal)
        self.jobs = [Job(0, whole, Variant(dict(options.given)))]

    async def prepare(self, connector: ComfyConnector) -> None:
        """Upload every ``--input`` file, and read the values whose types only the server knows."""
        await upload_inputs(connector, self._options.uploads, self.target, self.terminal, self.display)
        if any(source.kind == "prompt" for source in self._options.sources):
            self._table = port_table(self._options.sources, await connector._node_definitions())
            self._inputs = await to_thread(read_inputs, self._options.given, self._table)
            self._files = await to_thread(read_files, self._options.files, self._table)

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Run the list, and write its values and the outputs of its nodes."""
        from discomfort.orchestration.orchestrator import Discomfort

        self.display.phase(f"{', '.join(self._labels)}: preparing")
        payloads = [source.payload if source.name == STDIN else Path(source.name) for source in self._options.sources]
        try:
            results = await Discomfort(connector, self._tools).run(
                payloads,
                self._inputs,
                self._options.iterations,
                on_progress=self._show,
                timeout=self._options.timeout,
                allow_paid=self._options.allow_paid,
            )
        except DiscomfortError as error:
            if error.workflow is not None:
                self._at = (error.workflow.index + 1, error.workflow.iteration)
            raise
        self._at = (0, 0)
        result.history = {key: record for history in results.histories for key, record in history.items()}
        self.display.phase("saving")
        await self._save(connector, results, result)

    async def _save(self, connector: ComfyConnector, results: Results, result: Result) -> None:
        # The nodes in place of ports give the values; what all others give is saved as ever.
        own = [{fact.node_id for fact in port_table([each]).outputs.values()} for each in self._options.sources]
        for number, history in enumerate(results.histories):
            ports = own[number % len(own)]
            await save_outputs(
                [each for each in connector.outputs(history) if each.node_id.partition("-collected")[0] not in ports],
                self._options.output,
                result.rows,
                server_folder=connector.output_directory,
            )
        for name, value in results.items():
            fact = self._table.outputs.get(name, PortFact())
            if isinstance(value, Reference) and not is_known(fact.type):
                fact = replace(fact, type=value.type)
            paths = await to_thread(self._written, name, value, fact)
            result.rows += rows(name, value, fact, paths)
        missing = [name for name in self._files if name not in results]
        if missing:
            raise DiscomfortError(
                f"nothing arrived at the OUTPUT port {missing[0]!r}, so {self._files[missing[0]]} was not written: "
                "a node before it is muted, or gave nothing"
            )

    def _written(self, name: str, value: Any, fact: PortFact) -> list[Path]:
        file = self._files.get(name)
        return save_value(name, value, fact, self._options.output) if file is None else write_value(name, value, file)

    def _show(self, progress: WorkflowProgress) -> None:
        at = (progress.workflow_index + 1, progress.iteration)
        if at != self._at:
            self._at = at
            total = len(self._labels) * self._options.iterations
            label = self._label(*at)
            if total > 1:
                number = (progress.iteration - 1) * len(self._labels) + at[0]
                self.display.place(BatchPlace(number, total, label))
            self.display.phase(label)
        self.display.event(progress.event)

    def _label(self, number: int, iteration: int) -> str:
        times = self._options.iterations
        return self._labels[number - 1] + (f", iteration {iteration} of {times}" if times > 1 and iteration else "")

    def about(self, job: Job) -> str:
        """The workflow that failed, and the iteration; or all."""
        return self._label(*self._at) if self._at[0] else ", ".join(self._labels)

    def finished(self, result: Result) -> None:
        """Show the values and outputs, also of a run whose saving failed halfway."""
        if result.error is None:
            count = len(result.rows)
            outputs = "1 output" if count == 1 else f"{count} outputs" if count else "no outputs"
            self.terminal.note(f"{', '.join(self._labels)}: done in {seconds_text(result.seconds)}, {outputs}")
        if not self._options.json:
            show_result(self.terminal, result, several=False)
