"""Named inputs and outputs of a workflow, whatever declared them, and the forms in which others read them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from discomfort._json import JsonObject
from discomfort.workflow.interface.call_signatures import docstring_of, signature_of
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
from discomfort.workflow.interface.interface_text import one_line, table
from discomfort.workflow.interface.json_schemas import FileForm, is_json, schema_of_inputs
from discomfort.workflow.interface.value_models import model_of_inputs

if TYPE_CHECKING:
    from pydantic import BaseModel

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


@dataclass(frozen=True, slots=True, repr=False)
class Interface:
    """What a workflow takes and gives: ``inputs`` and ``outputs`` by name, in the order in which they were declared.

    ``problems`` has the entries of a source that could not be used. ``str`` is a table of all, ``repr`` one line. A
    hidden parameter keeps the workflow's value unless a call gives another one; only the table and ``as_json`` have it.
    """

    inputs: Mapping[str, Parameter] = field(default_factory=dict)
    outputs: Mapping[str, InterfaceOutput] = field(default_factory=dict)
    problems: tuple[InterfaceProblem, ...] = ()

    @property
    def shown(self) -> tuple[Parameter, ...]:
        """The inputs that are not hidden."""
        return tuple(parameter for parameter in self.inputs.values() if not parameter.is_hidden)

    def __repr__(self) -> str:
        return one_line(self.shown, self.outputs.values())

    def __str__(self) -> str:
        return table(self.inputs.values(), self.outputs.values(), self.problems)

    def json_schema(self, files: FileForm = "path", *, title: str = "") -> JsonObject:
        """A JSON Schema (draft 2020-12) of the inputs, as OpenAPI 3.1 and MCP take it.

        A file is a string: its path or its name on the server, or with ``files="base64"`` its bytes. ``x-comfyui-type``
        is ComfyUI's type, of files and of what JSON cannot have.
        """
        return schema_of_inputs(self.shown, files, title=title)

    def model(self, name: str = "Values") -> type[BaseModel]:
        """A new pydantic model of the inputs; ``upscale(**values.model_dump(by_alias=True))`` calls with its values."""
        return model_of_inputs(self.shown, name)

    def signature(self) -> inspect.Signature:
        """The keyword-only parameters of a call, with types and defaults."""
        return signature_of(self.shown)

    def docstring(self, name: str, about: str = "Runs the workflow.") -> str:
        """What ``help`` shows: the call of ``name`` in one line, ``about``, the arguments and the outputs."""
        return docstring_of(name, self.shown, self.outputs.values(), about)

    def as_json(self) -> JsonObject:
        """Everything as JSON: lists of inputs, outputs and problems, each with its fields.

        An input that must be given has no ``default``. A number that JSON cannot have is left out.
        """
        return {
            "inputs": [_without_holes(asdict(each)) for each in self.inputs.values()],
            "outputs": [_without_holes(asdict(each)) for each in self.outputs.values()],
            "problems": [asdict(each) for each in self.problems],
        }


def _without_holes(fields: JsonObject) -> JsonObject:
    return {key: value for key, value in fields.items() if is_json(value) and (value is not None or key == "default")}
