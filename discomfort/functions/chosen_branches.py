"""The prompt of one call with the branches that its values choose: a dynamic combo brings other inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from discomfort._json import copied
from discomfort.exceptions import InputSelectorError
from discomfort.functions.loaded_workflow import PreparedWorkflow
from discomfort.workflow.dynamic_inputs import DYNAMIC_COMBO, option_keys, spec_type
from discomfort.workflow.interface.declarations import InputTarget
from discomfort.workflow.interface.parameter_facts import input_spec, input_value
from discomfort.workflow.interface.placing import place_value


def with_branches(workflow: PreparedWorkflow, values: Mapping[str, Any]) -> PreparedWorkflow:
    """The workflow with the dynamic combos that these values set, by name or selector; the given one is not changed.

    Other values are not set, and wrong ones are passed over.
    """
    # What a dynamic combo brings may be one, too.
    for key in sorted(values, key=lambda each: _depth(workflow, each)):
        for target in _targets(workflow, key):
            value = values[key]
            if _is_other_branch(workflow, target, value):
                prompt = {**workflow.prompt, target.node_id: copied(workflow.prompt[target.node_id])}
                place_value(prompt, [target], value, workflow.definitions)
                workflow = replace(workflow, prompt=prompt)
    return workflow


def _is_other_branch(workflow: PreparedWorkflow, target: InputTarget, value: Any) -> bool:
    spec = input_spec(workflow.prompt, target, workflow.definitions)
    if not isinstance(value, str) or spec is None or spec_type(spec) != DYNAMIC_COMBO:
        return False
    return value in option_keys(spec) and value != input_value(workflow.prompt, target)


def _depth(workflow: PreparedWorkflow, key: str) -> int:
    parameter = workflow.interface.inputs.get(key)
    names = [key] if parameter is None else [target.input_name for target in parameter.targets]
    return max((name.count(".") for name in names), default=0)


def _targets(workflow: PreparedWorkflow, key: str) -> Iterator[InputTarget]:
    parameter = workflow.interface.inputs.get(key)
    if parameter is not None:
        yield from parameter.targets
        return
    try:
        yield workflow.target(key)
    except InputSelectorError:
        return
