"""``discomfort run``: workflows in, saved outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort.cli.batch import Batch
from discomfort.cli.connect import ServerTarget
from discomfort.cli.inputs import Source
from discomfort.cli.report import Result, save_outputs, show_result
from discomfort.cli.terminal import Terminal
from discomfort.exceptions import InputSelectorError

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of ``discomfort run``, read and checked. ``timeout`` is in seconds, for each workflow."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    assignments: Sequence[tuple[str, Any]] = ()
    inputs: Sequence[Path] = ()
    output: Path = Path("output")
    json: bool = False
    timeout: float | None = None


def run_command(options: RunOptions, terminal: Terminal) -> int:
    """Run every workflow in turn and return the exit code."""
    batch = RunBatch(options, terminal)
    code = batch.execute()
    if options.json:
        documents = [result.as_json() for result in batch.results]
        terminal.write_json(documents[0] if len(documents) == 1 else documents)
    return code


class RunBatch(Batch):
    """Uploads the inputs, runs each workflow, saves and shows its outputs."""

    stopping_means: ClassVar[str] = "taking the run off the server and shutting down"

    def __init__(self, options: RunOptions, terminal: Terminal) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._options = options

    async def prepare(self, connector: ComfyConnector) -> None:
        """Upload every ``--input`` file to the server's input folder."""
        for path in self._options.inputs:
            self.display.phase(f"uploading {path.name}")
            # Files on an attached server cannot be deleted, so uploads to it remain.
            ephemeral = self.target.attach is None
            stored = await to_thread(connector.upload_data, path, "input", is_ephemeral=ephemeral)
            name = Path(stored).name
            if name != path.name:
                self.terminal.warn(
                    f"{path.name} was stored as {name} on the server: --set its node's input to that name"
                )

    async def work(self, connector: ComfyConnector, index: int, source: Source, result: Result) -> None:
        """Run one workflow and save its outputs."""
        payload, is_workflow, extra = source.payload, source.kind == "workflow", None
        self.display.phase(f"{source.label}: preparing")
        if self._options.assignments:
            payload, is_workflow, extra = await self._edit(connector, source)
        result.history = await connector.run_workflow(
            payload,
            is_workflow,
            on_progress=self.display.event,
            timeout=self._options.timeout,
            extra_data=extra,
        )
        self.display.phase(f"{source.label}: saving")
        await save_outputs(
            connector.outputs(result.history),
            self._options.output,
            result.rows,
            server_folder=connector.output_directory,
        )

    def finished(self, result: Result) -> None:
        """Show the outputs, also of a run whose saving failed halfway."""
        if result.error is None:
            count = len(result.rows)
            outputs = "1 output" if count == 1 else f"{count} outputs" if count else "no outputs"
            self.terminal.note(f"{result.workflow}: done in {_seconds(result.seconds)}, {outputs}")
        if not self._options.json:
            show_result(self.terminal, result, several=len(self.sources) > 1)

    async def _edit(self, connector: ComfyConnector, source: Source) -> tuple[JsonObject, bool, JsonObject | None]:
        """Apply ``--set`` to the workflow if its widgets can be identified with certainty, else to the prompt."""
        try:
            return await self._assign(connector, source.payload), source.kind == "workflow", None
        except InputSelectorError as error:
            if source.kind == "prompt":
                raise
            first = error
        prompt = await connector.get_prompt_from_workflow(source.payload)
        try:
            edited = await self._assign(connector, prompt)
        except InputSelectorError as error:
            raise error from first
        self.terminal.note(
            f"{source.name}: set on the converted prompt; the workflow inside saved pictures is unchanged"
        )
        return edited, False, {"extra_pnginfo": {"workflow": source.payload}}

    async def _assign(self, connector: ComfyConnector, payload: JsonObject) -> JsonObject:
        editor = await connector.edit(payload)
        for selector, value in self._options.assignments:
            editor.set(selector, value)
        return editor.payload


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"
