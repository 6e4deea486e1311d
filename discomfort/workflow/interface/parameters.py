"""Named inputs and outputs of a workflow, whatever declared them, and the forms in which others read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from discomfort.workflow.interface.declarations import (
    NO_DEFAULT,
    InputTarget,
    InterfaceOutput,
    InterfaceProblem,
    NoDefault,
    Parameter,
    Source,
    UploadKind,
)

__all__ = [
    "NO_DEFAULT",
    "InputTarget",
    "Interface",
    "InterfaceOutput",
    "InterfaceProblem",
    "NoDefault",
    "Parameter",
    "Source",
    "UploadKind",
]


@dataclass(frozen=True, slots=True)
class Interface:
    """What a workflow takes and gives: ``inputs`` and ``outputs`` by name, in the order in which they were declared.

    ``problems`` has the entries of a source that could not be used.
    """

    inputs: Mapping[str, Parameter] = field(default_factory=dict)
    outputs: Mapping[str, InterfaceOutput] = field(default_factory=dict)
    problems: tuple[InterfaceProblem, ...] = ()
