"""Plans of calls: what a workflow needs with values by name, also where node types are missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from discomfort.exceptions import BrokenLinksError, BrowserError, ConversionError, MissingNodesError
from discomfort.functions.bound_call import BoundCall, bound, sent_values
from discomfort.functions.host import FunctionHost
from discomfort.functions.loaded_workflow import LoadedWorkflow, PreparedWorkflow
from discomfort.planning.needs import ValueNeed
from discomfort.planning.workflow_plan import WorkflowPlan


async def plan_of_call(
    host: FunctionHost,
    loaded: LoadedWorkflow,
    name: str,
    values: Mapping[str, Any],
    *,
    online: bool = False,
    api_key: str | None = None,
) -> WorkflowPlan:
    """The plan of a call with these values; those that it would refuse are in it."""
    kind, graph = loaded.source
    prepared, is_whole = await _prepared(loaded)
    if prepared is None:
        unknown = ["whether the given values fit, since the workflow cannot be converted"] if values else []
        return await host.plan_graph(kind, graph, name, {}, unknown=unknown, online=online, api_key=api_key)
    call = bound(prepared, values)
    await call.check_files(host)
    lost = [] if is_whole else sorted(_lost(call))
    return await host.plan_graph(
        kind,
        graph,
        name,
        sent_values(call),
        brought={str(target) for key in _delivered(call) for target in call.parameter(key).targets},
        wrong=[need for need in _wrong(call) if need.input not in lost],
        unknown=[f"whether {each!r} is an input, since node types are missing" for each in lost],
        online=online,
        api_key=api_key,
    )


async def _prepared(loaded: LoadedWorkflow) -> tuple[PreparedWorkflow | None, bool]:
    """The workflow, and whether it is whole; ``None`` if it cannot be converted, of which the plan says why."""
    try:
        return await loaded.prepared(), True
    except MissingNodesError:
        return await loaded.without_missing_nodes(), False
    except (BrokenLinksError, BrowserError, ConversionError):
        return None, False


def _delivered(call: BoundCall) -> Iterator[str]:
    return (name for name in call.deliveries if name in call.given)


def _lost(call: BoundCall) -> set[str]:
    """The given names that may be those of inputs of missing nodes."""
    return {each.name for each in call.problems if each.name not in call.workflow.interface.inputs}


def _wrong(call: BoundCall) -> Iterator[ValueNeed]:
    for each in call.problems:
        # The plan itself finds the files that the workflow names.
        if each.name in call.given or each.name not in call.deliveries:
            yield ValueNeed(
                input=each.name,
                value=call.given.get(each.name),
                problem=each.problem,
                nearest=_value_of(each.candidates[0]) if each.candidates else None,
                is_named="." not in each.name or each.name in call.workflow.interface.inputs,
            )


def _value_of(candidate: str) -> object:
    """What a candidate stands for, which errors have as source code; a name is itself."""
    try:
        return ast.literal_eval(candidate)
    except (ValueError, SyntaxError):
        return candidate
