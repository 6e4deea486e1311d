"""One call of ``Discomfort.run``: its list is prepared, checked as a whole, and run, iteration after iteration."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from discomfort._json import JsonObject
from discomfort._system.concurrency import finish, in_pool
from discomfort.connector.payloads import Payload
from discomfort.context.context import WorkflowContext
from discomfort.context.recipes import needed_blobs
from discomfort.context.records import PassBy
from discomfort.context.run_view import RunView
from discomfort.context.storage import INLINE
from discomfort.exceptions import (
    PaidNodesError,
    PayloadError,
    RunTimeout,
    UnsafePromptError,
    UnsupportedValueError,
    ValidationError,
)
from discomfort.orchestration.list_check import ListCheck
from discomfort.orchestration.results import Results
from discomfort.orchestration.run_places import placed
from discomfort.orchestration.step_progress import ProgressReports
from discomfort.orchestration.step_run import RunSurroundings, StepRun
from discomfort.orchestration.steps import Conversions, WorkflowStep, is_small
from discomfort.orchestration.transient_values import TransientValues
from discomfort.orchestration.transport import Transport
from discomfort.orchestration.transport_choice import Transports
from discomfort.orchestration.variables import read_variables
from discomfort.orchestration.warm_nodes import WarmNodes
from discomfort.orchestration.worker import Worker
from discomfort.progress import WorkflowProgressCallback
from discomfort.workflow.prompt_ports import prompt_ports
from discomfort.workflow.references import Reference, is_reference
from discomfort.workflow.workflow_ports import PORT

_log = logging.getLogger("discomfort.run")

_SHORT = INLINE // 6 - 2
"""Characters of a text whose JSON is kept in the index: each takes six bytes at most."""


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What a caller wants to run: checked, and copied where the caller could change it."""

    workflows: Sequence[Payload]
    inputs: Mapping[str, Any]
    iterations: int
    use_ram: bool
    on_progress: WorkflowProgressCallback | None = None
    timeout: float | None = None
    extra_data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    allow_paid: bool | None = None
    api_key: str | None = field(default=None, repr=False)


class ListRun:
    """Runs one list on one worker and one context."""

    def __init__(
        self,
        worker: Worker,
        context: WorkflowContext,
        rules: Mapping[str, str],
        warm: WarmNodes,
        transports: Transports,
        order: RunOrder,
    ) -> None:
        self._worker, self._context, self._rules, self._warm, self._order = worker, context, rules, warm, order
        self._transports = transports
        self._conversions = Conversions(worker)
        self._inputs = {key: _as_reference(value) for key, value in order.inputs.items()}
        self._refused: dict[str, UnsupportedValueError] = {}
        self._told: set[str] = set()

    async def perform(self) -> Results:
        """Run everything within the timeout. Raises RunTimeout, and what the parts raise."""
        timeout = self._order.timeout
        try:
            async with asyncio.timeout(timeout) as scope:
                return await self._perform()
        except TimeoutError as error:
            if not scope.expired() or timeout is None:
                raise
            cause = None if isinstance(error.__cause__, asyncio.CancelledError) else error
            raise RunTimeout(f"the call did not end within {timeout:g} s", timeout=timeout) from cause

    async def _perform(self) -> Results:
        order, results = self._order, Results()
        steps, definitions, transport = await self._begin()
        reports = None if order.on_progress is None else ProgressReports(order.on_progress)
        transient = TransientValues(self._context._open_storage())
        around = RunSurroundings(
            self._worker, self._context, self._conversions, definitions, transport, self._rules,
            self._warm, transient, order.use_ram, reports, order.extra_data, order.allow_paid, order.api_key,
        )  # fmt: skip
        try:
            for iteration in range(1, order.iterations + 1):
                for step in steps:
                    await StepRun(around, step, iteration, results).perform()
        finally:
            try:
                await finish(transport.end())
            finally:
                # Even if the cancellation comes just now.
                await in_pool(transient.drop, is_quick=transient.is_empty)
        return results

    async def _begin(self) -> tuple[list[WorkflowStep], JsonObject, Transport]:
        """Convert and check everything, and save the inputs. Returns what the steps need."""
        view = self._context._view()
        try:
            # First, since a program may change its values while this waits.
            await in_pool(lambda: self._stage_inputs(view), is_quick=self._order.use_ram and _are_plain(self._inputs))
            steps = await self._conversions.steps(self._order.workflows)
            found = await self._checked(steps, view)
            await in_pool(view.commit, is_quick=not view.staged)
            return found
        finally:
            await in_pool(view.discard, is_quick=not view.has_files)

    def _stage_inputs(self, view: RunView) -> None:
        """Write the inputs, which get their ids with the commit. Blocking; raises DiskFullError, OSError."""
        for unique_id, value in self._inputs.items():
            needs = view.storage.needed_files(needed_blobs(value))
            is_reference = isinstance(value, Reference)
            pass_by: PassBy = "ref" if is_reference else "val"
            given = value.copy() if is_reference else value
            try:
                # A server will load most inputs that are not constants, by their digest.
                is_digested = not is_reference
                view.save(
                    unique_id, given,
                    use_ram=self._order.use_ram, pass_by=pass_by, needs=needs, is_digested=is_digested,
                )  # fmt: skip
            except UnsupportedValueError as error:
                place = error.place.replace("value", f"inputs[{unique_id!r}]", 1)
                self._refused[unique_id] = UnsupportedValueError(error.problem, place=place, remedy=error.remedy)

    async def _checked(
        self, steps: Sequence[WorkflowStep], view: RunView
    ) -> tuple[list[WorkflowStep], JsonObject, Transport]:
        """The steps with their ports, and the definitions. What fails with known definitions is checked with new ones:
        their lists have the files and models that were added since."""
        try:
            return await self._checked_with(steps, view, await self._worker._node_definitions())
        except (UnsafePromptError, PaidNodesError):
            raise
        except (PayloadError, ValidationError):
            pass  # Checked again below, where an error does not show this one as its cause.
        return await self._checked_with(steps, view, await self._worker._node_definitions(fresh=True))

    async def _checked_with(
        self, steps: Sequence[WorkflowStep], view: RunView, definitions: JsonObject
    ) -> tuple[list[WorkflowStep], JsonObject, Transport]:
        found = [replace(step, ports=prompt_ports(step.prompt, definitions, step.workflow)) for step in steps]
        await self._check_prompts(found, definitions)
        needed = [unique_id for step in found for unique_id in step.ports.inputs()]
        variables = await read_variables(needed, view, self._conversions, definitions)
        self._tell_strangers(needed)
        transport = self._transports.choose(definitions)
        check = ListCheck(variables, self._refused, self._rules, transport, definitions, self._order.iterations)
        await in_pool(lambda: check.run(found), is_quick=variables.are_plain and is_small(found))
        return found, definitions, transport

    def _tell_strangers(self, needed: Sequence[str]) -> None:
        """Log the inputs that no port takes, which may be meant, or misspelt."""
        for unique_id in self._inputs.keys() - set(needed) - self._told:
            self._told.add(unique_id)
            near = difflib.get_close_matches(unique_id, set(needed) - self._inputs.keys(), 1)
            if near:
                _log.warning("no INPUT port takes inputs[%r]; did you mean %r?", unique_id, near[0])
            else:
                _log.info("no INPUT port takes inputs[%r]; it is saved to the context", unique_id)

    async def _check_prompts(self, steps: Sequence[WorkflowStep], definitions: JsonObject) -> None:
        """Check what does not depend on values, as it is checked again when each prompt is sent."""
        checked: set[str] = set()
        for step in steps:
            if step.origin in checked:
                continue
            checked.add(step.origin)
            # No port is sent, so the server need not have it. What takes a value is an output node.
            port = {**(definitions.get(PORT) or {}), "output_node": bool(step.ports.outputs())}
            with placed(step.place()):
                known = {**definitions, PORT: port} if definitions else {}
                await self._worker._check_prompt(step.prompt, known, allow_paid=self._order.allow_paid)


def _are_plain(values: Mapping[str, Any]) -> bool:
    """Whether all are small numbers and texts, which are kept in the index."""
    return all(
        type(each) in (int, float, bool, type(None)) or (type(each) is str and len(each) < _SHORT)
        for each in values.values()
    )


def _as_reference(value: Any) -> Any:
    return Reference.read(value) if is_reference(value) else value
