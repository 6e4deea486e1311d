"""Binding of INPUT ports: what the value of a variable becomes in a prompt. Nothing is written here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from discomfort.context.trees import NodeList
from discomfort.core_values.constants import NOT_CONSTANT, constant_of
from discomfort.core_values.value_fitting import described, fitted, misfit
from discomfort.exceptions import GraphProblem
from discomfort.workflow.compilation import Literal, Recipe
from discomfort.workflow.port_types import ANY, is_known
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.references import Reference


@dataclass(frozen=True, slots=True)
class LoadedValue:
    """A value that a node loads. ``is_changed``: it is not the given one, but fitted to the port."""

    value: Any
    is_changed: bool = False


Plan = Literal | Recipe | LoadedValue


def planned(value: Any, ports: Sequence[PromptPort]) -> Plan:
    """What the ports of one variable become.

    A reference becomes its nodes. A number, a text or the like becomes a constant if each input takes constants, and
    everything else is loaded.
    """
    if isinstance(value, Reference):
        return value.recipe
    targets = [target for port in ports for target in port.targets]
    if all(target.takes_constants for target in targets):
        constant = constant_of(value)
        is_structure = isinstance(constant, list | dict) and any(is_known(target.type) for target in targets)
        if constant is not NOT_CONSTANT and not is_structure:
            return Literal(constant)
    made = fitted(value, variable_type(ports))
    return LoadedValue(made, is_changed=made is not value)


def plan_problems(plan: Plan, ports: Sequence[PromptPort]) -> Iterator[GraphProblem]:
    """Why a loaded value does not fit an input, which no server would find out before it runs."""
    if not isinstance(plan, LoadedValue):
        return
    items = plan.value if isinstance(plan.value, NodeList) else [plan.value]
    for port in ports:
        for target in port.targets:
            if target.takes_constants and is_known(target.type):
                text = "" if isinstance(plan.value, NodeList) else f"takes {target.type}, given {described(plan.value)}"
            else:
                text = next(filter(None, (misfit(each, target.type) for each in items)), "")
            if text:
                yield port.problem(f"{target} {text}")


def variable_type(ports: Sequence[PromptPort]) -> str:
    """The type of a variable: of the first of its ports that has one."""
    return next((port.type for port in ports if is_known(port.type)), ANY)
