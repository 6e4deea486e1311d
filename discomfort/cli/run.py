"""``discomfort run``: workflows in, saved outputs out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.exit_codes import OK
from discomfort.cli.input_uploads import upload_inputs
from discomfort.cli.inputs import Source
from discomfort.cli.named_calls import NamedCalls
from discomfort.cli.output_names import NamePattern
from discomfort.cli.pool_choice import PoolChoice
from discomfort.cli.progress_bars import BatchPlace
from discomfort.cli.report import Result, save_outputs, seconds_text, show_result
from discomfort.cli.run_plan import Edits, mark_done, plan_jobs, plan_without_server
from discomfort.cli.runner import Interrupted
from discomfort.cli.terminal import Terminal
from discomfort.cli.variants import Variant

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of ``discomfort run``, read and checked. ``timeout`` is in seconds, for each run.

    Every workflow is run once for each of ``variants``. ``lines``: ``json`` gives a line for each run. ``named`` has
    the texts of inputs by name, which a ``sidecar`` may declare; ``own`` are the options of the command, for messages.
    On a ``pool``, a run may begin again ``retry`` times when its server is lost.
    """

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    variants: Sequence[Variant] = (Variant(),)
    inputs: Sequence[Path] = ()
    output: Path = Path("output")
    name: NamePattern | None = None
    skip_existing: bool = False
    json: bool = False
    lines: bool = False
    timeout: float | None = None
    named: Mapping[str, str | None] = field(default_factory=dict)
    sidecar: Path | None = None
    own: Sequence[str] = ()
    allow_paid: bool | None = None
    pool: PoolChoice | None = None
    retry: int = 0


class RunBatch(Batch):
    """Uploads the inputs, checks every run, does them, saves and shows their outputs."""

    stopping_means: ClassVar[str] = "taking the run off the server and shutting down"

    def __init__(self, options: RunOptions, terminal: Terminal) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._options = options
        self._edits: Edits | NamedCalls = Edits(options.variants, self.terminal)
        if options.named:
            self._edits = NamedCalls(options.named, options.variants, options.sidecar, options.own)
        self._skipped = self._failed = 0
        self._spent: list[float] = []

    def execute(self) -> int:
        """Run everything and return the exit code; without starting a server if all files are there already."""
        options = self._options
        if options.name is not None and options.skip_existing:
            jobs = plan_without_server(self.sources, options.variants, options.name)
            if jobs is not None:
                mark_done(jobs, options.output)
                if all(job.is_done for job in jobs):
                    self.jobs = jobs
                    self.record_all()
                    return OK
        return super().execute()

    async def prepare(self, connector: ComfyConnector) -> None:
        """Upload every ``--input`` file to the server's input folder, and check the values and names of all runs."""
        await upload_inputs(connector, self._options.inputs, self.target, self.terminal, self.display)
        await self._check(connector)

    async def _check(self, connector: ComfyConnector) -> None:
        if self._edits.is_needed:
            self.display.phase("checking the values")
        for position, source in enumerate(self.sources):
            if source.error is None:
                for error in await self._edits.check(connector, position, source):
                    self.refuse(position, error)
        options = self._options
        self.jobs = await plan_jobs(connector, self.sources, options.variants, self._edits, options.name)
        if options.name is not None and options.skip_existing:
            mark_done(self.jobs, options.output)
        left = sum(not job.is_done for job in self.jobs)
        if len(self.jobs) > len(self.sources):
            skipped = f", {len(self.jobs) - left} of them done already" if left < len(self.jobs) else ""
            self.terminal.note(f"{len(self.jobs)} runs{skipped}")

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Do one run and save its outputs."""
        label = job.source.label
        if len(self.jobs) > 1:
            self.display.place(self._place(job))
        self.display.phase(f"{label}: preparing")
        result.history = await self._edits.run(
            connector,
            job,
            on_progress=self.display.event,
            timeout=self._options.timeout,
            allow_paid=self._options.allow_paid,
        )
        self.display.phase(f"{label}: saving")
        await save_outputs(
            connector.outputs(result.history),
            self._options.output,
            result.rows,
            server_folder=connector.output_directory,
            name=job.name,
        )

    def finished(self, result: Result) -> None:
        """Show the outputs, also of a run whose saving failed halfway."""
        self._spent.append(result.seconds)
        job = self.jobs[result.index - 1]
        if result.error is None:
            count = len(result.rows)
            outputs = "1 output" if count == 1 else f"{count} outputs" if count else "no outputs"
            where = f" on {result.server}" if result.server else ""
            self.terminal.note(f"{self.about(job)}: done in {seconds_text(result.seconds)}{where}, {outputs}")
        if not self._options.json:
            show_result(self.terminal, result, several=len(self.jobs) > 1)

    def recorded(self, result: Result) -> None:
        """Count it, and write its line with ``--json`` of a batch."""
        self._skipped += result.is_skipped
        self._failed += result.error is not None
        if self._options.json and self._options.lines and not isinstance(result.error, Interrupted):
            self.terminal.write(json.dumps(result.as_json(), ensure_ascii=False, default=str) + "\n")

    def about(self, job: Job) -> str:
        """The workflow, and the values of a batch."""
        values = str(job.variant) if len(self._options.variants) > 1 else ""
        return f"{job.source.name} ({values})" if values else job.source.name

    def summary(self) -> str:
        """How many runs were done; how to go on is said if the files have names that can be found again."""
        if len(self.jobs) < 2:
            return ""
        done = len(self.results) - self._failed
        text = f"{done} of {len(self.jobs)} runs are done"
        if self._options.name is not None:
            text += ": the same command with --skip-existing does the rest"
        return text

    def conclude(self) -> None:
        """Say how a batch went."""
        count = len(self.jobs)
        is_interrupted = any(isinstance(each.error, Interrupted) for each in self.results)
        if (count > len(self.sources) or self._skipped) and not is_interrupted:
            done = count - self._skipped - self._failed
            counts = [(done, "done"), (self._skipped, "there already"), (self._failed, "failed")]
            self.terminal.note(f"{count} runs: " + ", ".join(f"{number} {what}" for number, what in counts if number))

    def _place(self, job: Job) -> BatchPlace:
        number = len(self.results) + 1
        label = f"{job.source.label} {job.variant}".rstrip()
        mean = sum(self._spent) / len(self._spent) if self._spent else None
        left = sum(not each.is_done for each in self.jobs[number - 1 :])
        return BatchPlace(number, len(self.jobs), label, None if mean is None else mean * left)
