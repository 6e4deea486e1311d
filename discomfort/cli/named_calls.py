"""Runs of workflows by the names of their inputs: those of ``discomfort run`` with options such as ``--scale 4``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort._error_text import joined, nearest
from discomfort.cli.batch import Job
from discomfort.cli.inputs import Source, UsageError
from discomfort.cli.interface_command import load
from discomfort.cli.named_options import named_values, option_name
from discomfort.cli.port_table import port_table
from discomfort.cli.variants import Variant
from discomfort.exceptions import CallError, DiscomfortError
from discomfort.progress import ProgressCallback

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.functions.workflow_function import WorkflowFunction
    from discomfort.history import History
    from discomfort.workflow.edit import Editor


def divided(
    named: Mapping[str, str | None], given: Mapping[str, str], sources: Sequence[Source], *, is_list: bool
) -> tuple[dict[str, str], dict[str, str | None]]:
    """The values for ports, and those for calls by name, of the options ``--NAME`` and of ``--in``.

    Workflows with ports run as one list if all names are those of INPUT ports. ``is_list`` says that an option asks for
    it. Raises UsageError if that cannot be, or if a name is given twice.
    """
    twice = next((name for name in named if name in given), None)
    if twice is not None:
        raise UsageError(f"--{twice} and --in {twice}: given twice")
    table = port_table(sources)
    if named and table and all(name in table.inputs for name in named):
        return {**given, **{name: "true" if text is None else text for name, text in named.items()}}, {}
    if named and is_list:
        raise UsageError(
            f"--{next(iter(named))}: --out and --iterations are for ports, and no INPUT port has this name"
        )
    if named or (given and not table and not is_list):
        return {}, {**given, **named}
    return dict(given), {}


class NamedCalls:
    """Calls each workflow as a function: the same values in all its runs, beside those of ``--set`` and ``--csv``."""

    is_needed = True

    def __init__(
        self,
        given: Mapping[str, str | None],
        variants: Sequence[Variant],
        sidecar: Path | None,
        own: Sequence[str] = (),
    ) -> None:
        self._given, self._variants, self._sidecar, self._own = given, variants, sidecar, own
        self._functions: dict[int, WorkflowFunction] = {}
        self._values: dict[int, dict[str, Any]] = {}

    async def check(self, connector: ComfyConnector, position: int, source: Source) -> list[Exception]:
        """Load a workflow. Returns what is wrong with the values of its runs."""
        try:
            function = self._functions[position] = await load(connector, source, self._sidecar)
            values = self._values[position] = self._read(function)
        except (DiscomfortError, OSError, UnicodeError) as error:
            return [error]
        problems = {
            str(problem): problem
            for variant in self._variants
            for problem in function.problems({**variant.values, **values})
        }
        return [CallError(function.name, list(problems.values()))] if problems else []

    async def editor(self, connector: ComfyConnector, job: Job) -> Editor:
        """An editor of one run's prompt with the values of its selectors set."""
        workflow = job.source.payload if job.source.kind == "workflow" else None
        editor = await connector.edit(self._functions[job.position].prompt, workflow=workflow)
        return editor.set_all(job.variant.values)

    async def run(
        self,
        connector: ComfyConnector,
        job: Job,
        *,
        on_progress: ProgressCallback,
        timeout: float | None,
        allow_paid: bool | None,
    ) -> History:
        """Do one run, and return its history."""
        function = self._functions[job.position].with_options(
            timeout=timeout, on_progress=on_progress, allow_paid=allow_paid
        )
        return (await function(self.values(job))).history

    def values(self, job: Job) -> dict[str, Any]:
        """The values of one run, by name or selector."""
        return {**job.variant.values, **self._values[job.position]}

    def _read(self, function: WorkflowFunction) -> dict[str, Any]:
        inputs = function.interface.inputs
        values = named_values(self._given, inputs)
        for name in values:
            if name not in inputs:
                known = [option_name(each) for each in inputs]
                near = joined(nearest(f"--{name}", [*known, *self._own])[:5], ", ")
                there = f"; there are: {near}" if near else ""
                if not inputs:
                    there += (
                        ". No input of it has a name: --set NODE.INPUT=VALUE sets any, and discomfort interface "
                        "--write makes a file in which they get names"
                    )
                raise UsageError(
                    f"--{name}: {function.name} has no such input, and discomfort run no such option{there}"
                )
        return values
