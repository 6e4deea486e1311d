"""``discomfort plan``: what a workflow needs before it can run, and what of it is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from discomfort._json import JsonObject
from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget
from discomfort.cli.exit_codes import FAILED
from discomfort.cli.inputs import Source
from discomfort.cli.report import Result, error_as_json
from discomfort.cli.terminal import Terminal, clean
from discomfort.workflow.edit import parse_assignment

if TYPE_CHECKING:
    from discomfort.connector import ComfyConnector
    from discomfort.planning.workflow_plan import WorkflowPlan


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options of ``discomfort plan``; ``values`` are set in every workflow, by selector."""

    sources: Sequence[Source]
    target: ServerTarget = field(default_factory=ServerTarget)
    values: Mapping[str, Any] = field(default_factory=dict)
    online: bool = False
    json: bool = False


def read_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """The values of ``--set``, by selector. Raises InputSelectorError for a text without ``=``."""
    return dict(map(parse_assignment, texts))


def plan_command(options: PlanOptions, terminal: Terminal) -> int:
    """Plan every workflow and return the exit code: 1 if something is missing."""
    batch = PlanBatch(options, terminal)
    code = batch.execute()
    if options.json:
        terminal.write_documents([batch.document(result) for result in batch.results])
    return code


class PlanBatch(Batch):
    """Plans each workflow and shows what is missing."""

    def __init__(self, options: PlanOptions, terminal: Terminal) -> None:
        super().__init__(options.sources, options.target, terminal)
        self._options = options
        self._found: dict[int, WorkflowPlan] = {}

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Plan one workflow."""
        source = job.source
        self.display.phase(f"{source.label}: planning")
        plan = await connector.plan(source.payload, self._options.values, online=self._options.online)
        self._found[result.index] = plan = replace(plan, name=source.name)
        self.display.close()
        if not self._options.json:
            self.terminal.write(clean(str(plan)) + "\n")
        if not plan.is_ready:
            self._codes.add(FAILED)

    def document(self, result: Result) -> JsonObject:
        """One workflow's plan in the form of ``--json``."""
        plan = self._found.get(result.index)
        facts: JsonObject = {"workflow": result.workflow} if plan is None else plan.to_json()
        return {**facts, "workflow": result.workflow, "error": error_as_json(result.error)}
