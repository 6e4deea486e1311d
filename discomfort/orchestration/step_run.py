"""The run of one workflow: a snapshot of the context, a prompt, its values, and one commit at its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, in_pool
from discomfort.context.context import WorkflowContext
from discomfort.context.run_view import RunView
from discomfort.history import History
from discomfort.orchestration.prompt_making import PromptMaker, StepPrompt
from discomfort.orchestration.results import Results
from discomfort.orchestration.run_places import NodeNames, placed
from discomfort.orchestration.step_progress import ProgressReports
from discomfort.orchestration.steps import Conversions, WorkflowStep, is_small
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Arrivals, Passage, Transport
from discomfort.orchestration.variables import Variables, read_variables
from discomfort.orchestration.warm_nodes import WarmNodes
from discomfort.orchestration.worker import Worker
from discomfort.workflow.references import Reference
from discomfort.workflow.workflow_ports import PortRole

_log = logging.getLogger("discomfort.run")


@dataclass(frozen=True, slots=True)
class RunSurroundings:
    """What all steps of one call share."""

    worker: Worker
    context: WorkflowContext
    conversions: Conversions
    definitions: Mapping[str, Any]
    transport: Transport
    rules: Mapping[str, str]
    warm: WarmNodes
    transient: TransientValues
    use_ram: bool
    reports: ProgressReports | None
    extra_data: Mapping[str, Any] = field(repr=False)
    allow_paid: bool | None = None
    api_key: str | None = field(default=None, repr=False)


class StepRun:
    """Runs one workflow once. Its outputs get into the context and into ``results`` together, or not at all."""

    def __init__(self, around: RunSurroundings, step: WorkflowStep, iteration: int, results: Results) -> None:
        self._around, self._step, self._results = around, step, results
        self._place = step.place(iteration)

    async def perform(self) -> None:
        """Run to the end. Errors say which workflow and iteration it was."""
        with placed(self._place):
            view = self._around.context._view()
            try:
                await self._perform(view)
            finally:
                await in_pool(view.discard, is_quick=not view.has_files)

    async def _perform(self, view: RunView) -> None:
        around, step = self._around, self._step
        variables = await read_variables(step.ports.inputs(), view, around.conversions, around.definitions)
        passage = around.transport.passage(view, around.transient, use_ram=around.use_ram)
        has_succeeded = False
        try:
            made, history, arrivals = await self._passed(variables, passage, view)
            is_quick = not view.staged and not made.references
            values = await in_pool(lambda: self._committed(view, made, arrivals), is_quick=is_quick)
            has_succeeded = True
        finally:
            await finish(passage.end(has_succeeded=has_succeeded))
        self._results.update(values)
        self._results.histories.append(history)

    async def _passed(
        self, variables: Variables, passage: Passage, view: RunView
    ) -> tuple[StepPrompt, History, Arrivals]:
        """Send the values, run the prompt, and collect what it has made."""
        around = self._around
        maker = PromptMaker(view.records, variables, around.definitions, around.rules, around.transport, passage)
        kept = around.warm.nodes(view.storage, view.records, around.definitions)
        is_quick = variables.are_plain and not kept and is_small([self._step])
        wanted = await in_pool(lambda: maker.want(self._step), is_quick=is_quick)
        await passage.send(wanted, [each for each in variables.values.values() if isinstance(each, Reference)])
        made = await in_pool(lambda: maker.make(self._step, kept), is_quick=is_quick)
        names = NodeNames(made.prompt, self._step.origin)
        with placed(self._place, names):
            history = await self._sent(made, names)
        return made, history, await passage.collect(history)

    async def _sent(self, made: StepPrompt, names: NodeNames) -> History:
        around = self._around
        on_progress = None if around.reports is None else around.reports.of_step(self._place, names)
        return await around.worker.run_workflow(
            made.prompt, use_workflow_json=False, on_progress=on_progress, extra_data=self._extra_data(),
            allow_paid=around.allow_paid, api_key=around.api_key,
        )  # fmt: skip

    def _extra_data(self) -> JsonObject:
        """The caller's extra data; with the workflow, so that saved pictures carry it."""
        extra = dict(self._around.extra_data)
        if self._step.workflow is not None:
            extra["extra_pnginfo"] = {"workflow": self._step.workflow, **(extra.get("extra_pnginfo") or {})}
        return extra

    def _committed(self, view: RunView, made: StepPrompt, arrivals: Arrivals) -> dict[str, Any]:
        """Commit what the run has made, and return it. Blocking."""
        references = {
            unique_id: reference
            for unique_id, reference in made.references.items()
            if unique_id not in made.expected or unique_id in arrivals.objects
        }
        for unique_id, reference in references.items():
            needs = view.storage.needed_files(reference.blobs)
            view.save(unique_id, reference.copy(), use_ram=self._around.use_ram, pass_by="ref", needs=needs)
        self._warn(arrivals, made.expected)
        records = view.commit()
        for unique_id, reference in made.merged.items():
            if unique_id in view.records and unique_id not in records:
                self._around.warm.note(view.storage, unique_id, view.records[unique_id], reference)
        for unique_id, reference in references.items():
            self._around.warm.note(view.storage, unique_id, records[unique_id], reference)
        found = {each: references[each] if each in references else view.value_of(records[each]) for each in records}
        view.discard()  # here, in this thread
        return found

    def _warn(self, arrivals: Arrivals, expected: tuple[str, ...]) -> None:
        for unique_id in expected:
            if unique_id not in arrivals.staged | arrivals.objects:
                _log.warning("%s: nothing arrived at the OUTPUT port %r", self._place, unique_id)
        for port in self._step.ports.ports:
            if port.role is PortRole.OUTPUT and port.source is None:
                _log.warning("%s: what feeds the OUTPUT port %r is muted", self._place, port.unique_id)
