"""The runs of one command, checked before the first: their values, and the names of their files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort.cli.batch import Job
from discomfort.cli.inputs import STDIN, Source, UsageError
from discomfort.cli.named_calls import NamedCalls
from discomfort.cli.output_names import NamePattern, SavedNames
from discomfort.cli.terminal import Terminal
from discomfort.cli.variants import Variant
from discomfort.exceptions import InputSelectorError
from discomfort.progress import ProgressCallback

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.history import History
    from discomfort.workflow.edit import Editor

_MOST_ERRORS = 20
"""Problems of one workflow's runs that are reported; the others usually have the same cause."""


@dataclass(frozen=True, slots=True)
class Base:
    """The graph whose inputs are set: the workflow itself, or the prompt that ``workflow`` was converted to."""

    payload: JsonObject
    is_workflow: bool
    workflow: JsonObject | None = None

    @property
    def extra(self) -> JsonObject | None:
        """The extra data of its runs."""
        return None if self.workflow is None else {"extra_pnginfo": {"workflow": self.workflow}}

    async def editor(self, connector: ComfyConnector) -> Editor:
        """An editor of a copy."""
        return await connector.edit(self.payload, workflow=self.workflow)


class Edits:
    """Sets the values of the runs, on the workflow if its widgets can be identified with certainty, else on the prompt.

    A workflow is converted once for all its runs.
    """

    def __init__(self, variants: Sequence[Variant], terminal: Terminal) -> None:
        self._variants, self._terminal = variants, terminal
        self._bases: dict[int, Base] = {}

    @property
    def is_needed(self) -> bool:
        """Whether any run has a value to set."""
        return any(variant.values for variant in self._variants)

    async def check(self, connector: ComfyConnector, position: int, source: Source) -> list[Exception]:
        """Decide which graph of a workflow is edited. Returns what is wrong with the values of its runs."""
        base = Base(source.payload, source.kind == "workflow")
        problems = await self._problems(connector, base) if self.is_needed else []
        if problems and base.is_workflow:
            first = problems[0]
            try:
                prompt = await connector.get_prompt_from_workflow(source.payload)
            except Exception as error:  # noqa: BLE001 - becomes this workflow's error, whatever it is
                return [error]
            base = Base(prompt, False, source.payload)
            problems = await self._problems(connector, base)
            if problems:
                problems[0].__cause__ = first
            else:
                self._terminal.note(
                    f"{source.name}: set on the converted prompt; the workflow inside saved pictures is unchanged"
                )
        self._bases[position] = base
        return problems

    async def editor(self, connector: ComfyConnector, job: Job) -> Editor:
        """An editor of one run's graph with its values set."""
        return (await self._bases[job.position].editor(connector)).set_all(job.variant.values)

    async def apply(self, connector: ComfyConnector, job: Job) -> tuple[JsonObject, bool, JsonObject | None]:
        """What to run: the payload, whether it is a workflow, and its extra data."""
        base = self._bases[job.position]
        if not job.variant.values:
            return base.payload, base.is_workflow, base.extra
        return (await self.editor(connector, job)).payload, base.is_workflow, base.extra

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
        payload, is_workflow, extra = await self.apply(connector, job)
        return await connector.run_workflow(
            payload,
            is_workflow,
            on_progress=on_progress,
            timeout=timeout,
            extra_data=extra,
            allow_paid=allow_paid,
        )

    async def _problems(self, connector: ComfyConnector, base: Base) -> list[Exception]:
        """Each different problem once, with its row if the values come from a CSV file."""
        editor = await base.editor(connector)
        seen: set[str] = set()
        problems: dict[str, Exception] = {}
        for variant in self._variants:
            for selector, value in editor.in_order(variant.values).items():
                pair = json.dumps([selector, value], default=str)
                if pair in seen or len(problems) >= _MOST_ERRORS:
                    continue
                seen.add(pair)
                try:
                    editor.set(selector, value)
                except InputSelectorError as error:
                    problems.setdefault(str(error), _in_row(error, variant))
        return list(problems.values())


def mark_done(jobs: Sequence[Job], directory: Path) -> None:
    """Mark the jobs whose file is in the output folder already."""
    saved = SavedNames(directory)
    for job in jobs:
        job.is_done = job.name is not None and job.name in saved


def _in_row(error: InputSelectorError, variant: Variant) -> InputSelectorError:
    if variant.row is None:
        return error
    problem = f"{error.problem} (row {variant.row} of --csv)"
    return InputSelectorError(error.selector, problem, error.candidates, remedy=error.remedy)


async def plan_jobs(
    connector: ComfyConnector,
    sources: Sequence[Source],
    variants: Sequence[Variant],
    edits: Edits | NamedCalls,
    pattern: NamePattern | None,
) -> list[Job]:
    """All runs in order, each with the name of its files. A workflow that cannot be used has one, which fails.

    Raises InputSelectorError or UsageError if a name cannot be made, or if two runs would have the same.
    """
    jobs = _list_jobs(sources, variants)
    if pattern is None:
        return jobs
    taken: dict[str, int] = {}
    for index, job in enumerate(jobs, 1):
        if job.source.error is not None:
            continue
        job.name = await _name(connector, job, index, edits, pattern)
        other = taken.setdefault(job.name.casefold(), index)
        if other != index:
            raise UsageError(
                f"--name {pattern.text!r}: runs {other} and {index} would both be named {job.name!r}; "
                "add {index}, {repeat}, or an input that differs"
            )
    return jobs


def plan_without_server(
    sources: Sequence[Source], variants: Sequence[Variant], pattern: NamePattern
) -> list[Job] | None:
    """All runs with the names of their files; ``None`` if a name has a value that only the workflow itself has."""
    jobs = _list_jobs(sources, variants)
    for index, job in enumerate(jobs, 1):
        known = _known(job, index)
        if job.source.error is not None or any(selector not in known for selector in pattern.selectors):
            return None
        job.name = pattern.name(known.__getitem__)
    return jobs


def _list_jobs(sources: Sequence[Source], variants: Sequence[Variant]) -> list[Job]:
    jobs: list[Job] = []
    for position, source in enumerate(sources):
        wanted = variants if source.error is None else [Variant()]
        jobs += [Job(position, source, variant) for variant in wanted]
    return jobs


def _known(job: Job, index: int) -> dict[str, Any]:
    """The fields of a name whose values are known without the workflow's graph."""
    workflow = "stdin" if job.source.name == STDIN else Path(job.source.name).stem
    return {**job.variant.values, "index": index, "repeat": job.variant.repeat, "workflow": workflow}


async def _name(
    connector: ComfyConnector, job: Job, index: int, edits: Edits | NamedCalls, pattern: NamePattern
) -> str:
    known = _known(job, index)
    if any(selector not in known for selector in pattern.selectors):
        editor = await edits.editor(connector, job)
        known |= {selector: editor.get(selector) for selector in pattern.selectors if selector not in known}
    return pattern.name(known.__getitem__)
