"""Stubs: a module that loads one workflow as a function, and its types for editors and type checkers. Pure."""

from __future__ import annotations

import keyword
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from discomfort.functions.typed_outputs import class_name_of
from discomfort.workflow.interface.annotations import can_be_keyword, file_alias, literals_of, type_text
from discomfort.workflow.interface.call_signatures import rest_name
from discomfort.workflow.interface.declarations import NO_DEFAULT, Parameter
from discomfort.workflow.interface.interface_text import one_line_of
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.sidecar_names import stem_of

_RESULT_MEMBERS = frozenset({"history", "keys", "outputs", "prompt_id", "save", "seconds", "times"})
"""What a result has itself: an output of that name is reached by key only."""
_LONGEST_DEFAULT = 60
_FEW = 4
"""Choices that stand in the signature; more have an alias, one on a line."""
_NARROWER = """\
# mypy: ignore-errors
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false"""
"""A call takes fewer values than that of any function, and a result has fewer names: that is meant so."""
_OWN_NAMES = frozenset({"INTERFACE", "WORKFLOW", "load"})


@dataclass(frozen=True, slots=True)
class StubModule:
    """The two files of one workflow. ``name`` is the module's; ``code`` is what runs, ``types`` the ``.pyi`` for it."""

    name: str
    code: str
    types: str


def stub_module(interface: Interface, workflow: str, sidecar: str | None = None) -> StubModule:
    """The module for a workflow, whose path ``workflow`` is seen from the module's folder; so is that of ``sidecar``.

    The code is the same for each interface: when the choices on the server change, only the types have to be made
    again. A sidecar is one that is not beside the workflow, where it would be found.
    """
    name = module_name(workflow)
    types = _TypesOf(name, PurePath(workflow).name, interface, has_sidecar=sidecar is not None)
    return StubModule(name, _code(types, workflow, sidecar), types.text())


def module_name(workflow: str) -> str:
    """An identifier out of the file's name: ``my-upscale (2).app.json`` is ``my_upscale_2``."""
    stem = unicodedata.normalize("NFKC", stem_of(PurePath(workflow).name))
    name = re.sub(r"\W+", "_", stem).strip("_").lower() or "workflow"
    name = unicodedata.normalize("NFKC", name)
    if not name.isidentifier():
        name = f"workflow_{name}" if f"workflow_{name}".isidentifier() else "workflow"
    return f"{name}_" if keyword.iskeyword(name) or name == "__init__" else name


def _pascal(name: str) -> str:
    """``my_upscale`` as ``MyUpscale``."""
    words = "".join(word[:1].upper() + word[1:] for word in name.split("_"))
    return words if words.isidentifier() else f"X{words}"


def _code(types: _TypesOf, workflow: str, sidecar: str | None) -> str:
    own = [f"{types.name}{kind}" for kind in ("", "Result", "Run")]
    exported = [*sorted(types.constants), *sorted([*own, *(f"Sync{each}" for each in own)]), "load"]
    written = "\n".join(f'    "{each}",' for each in exported)
    paths = [
        f"{name} = (pathlib.Path(__file__).parent / {path!r}).resolve()"
        for name, path in zip(types.constants, [workflow, sidecar], strict=False)
    ]
    return f'''# type: ignore
"""Loads {_plain(types.file)} as a function; made by ``discomfort stubs`` with {types.module}.pyi."""

import pathlib

from discomfort.functions.call_result import CallResult as {types.name}Result
from discomfort.functions.sync_function import SyncCallResult as Sync{types.name}Result
from discomfort.functions.sync_function import SyncCallRun as Sync{types.name}Run
from discomfort.functions.sync_function import SyncFunction as Sync{types.name}
from discomfort.functions.workflow_function import CallRun as {types.name}Run
from discomfort.functions.workflow_function import WorkflowFunction as {types.name}

__all__ = [
{written}
]

{chr(10).join(paths)}


def load(connector, workflow=WORKFLOW, interface={types.constants[1] if sidecar is not None else None}):
    return connector.load(workflow, interface)
'''


class _TypesOf:
    """The text of one ``.pyi``. Its imports have underscores, so that no name of a workflow hides one."""

    def __init__(self, module: str, file: str, interface: Interface, *, has_sidecar: bool) -> None:
        self.module, self.file, self._interface = module, file, interface
        self.constants = ["WORKFLOW", "INTERFACE"] if has_sidecar else ["WORKFLOW"]
        self.name = _pascal(module)
        while self.name in _OWN_NAMES or keyword.iskeyword(self.name):
            self.name += "_"
        self._aliases: dict[str, str] = {}

    def text(self) -> str:
        """The whole file."""
        result, run = f"{self.name}Result", f"{self.name}Run"
        awaited = f"_abc.Generator[_typing.Any, _typing.Any, {result}]"
        classes = [
            self._result(result, "_results.CallResult", "_outputs.", "_outputs.SavedItems"),
            f"class {run}(_functions.CallRun):\n    def __await__(self) -> {awaited}: ...",
            self._function(self.name, "_functions.WorkflowFunction", "_sweeps.Sweep", is_async=True),
            self._result(f"Sync{result}", "_sync.SyncCallResult", "_sync_outputs.Sync", "_sync_outputs.SyncItems"),
            f"class Sync{run}(_sync.SyncCallRun):\n    def wait(self) -> Sync{result}: ...",
            self._function(f"Sync{self.name}", "_sync.SyncFunction", "_sweeps.SyncSweep", is_async=False),
        ]
        aliases = [f"{alias}: _typing.TypeAlias = {text}" for alias, text in self._aliases.items()]
        return "\n\n".join([self._head(), *aliases, *classes, self._load()]) + "\n"

    def _head(self) -> str:
        about = (
            f"Types of the function that {self.module}.py loads from {one_line_of(self.file)}. Made by "
            "``discomfort stubs``.\n\nChoices are those of the server that was asked: when its models have changed, "
            "make this file again."
        )
        constants = "\n".join(f"{each}: _pathlib.Path" for each in self.constants)
        return f"""{_NARROWER}
{_docstring(about, 0)}

import os as _os
import pathlib as _pathlib
import typing as _typing
from collections import abc as _abc

from discomfort import connector as _connector
from discomfort import sweeps as _sweeps
from discomfort import sync as _sync_connector
from discomfort.functions import call_result as _results
from discomfort.functions import input_types as _inputs
from discomfort.functions import sync_function as _sync
from discomfort.functions import sync_typed_outputs as _sync_outputs
from discomfort.functions import typed_outputs as _outputs
from discomfort.functions import workflow_function as _functions
from discomfort.planning import workflow_plan as _plans
from discomfort.sweeps import sweep_rows as _rows

{constants}

_one = _typing.TypeVar("_one")
_each: _typing.TypeAlias = _one | _abc.Iterable[_one]
_payload: _typing.TypeAlias = str | _os.PathLike[str] | _abc.Mapping[str, _typing.Any]"""

    def _function(self, name: str, base: str, sweep: str, *, is_async: bool) -> str:
        start = "    async def" if is_async else "    def"
        about = _docstring(self._interface.docstring(self.module, f"Runs {one_line_of(self.file)}."), 8)
        taken, free = self._parameters(), self._parameters(is_free=True)
        return "\n".join(
            [
                f"class {name}({base}):",
                f"{start} __call__(",
                *taken,
                f"    ) -> {name}Result:",
                f"        {about}",
                "",
                *(f"{start} submit(", *taken, f"    ) -> {name}Run: ..."),
                *(f"{start} plan(", *free, "    ) -> _plans.WorkflowPlan: ..."),
                *("    def grid(", *self._parameters(is_each=True), f"    ) -> {sweep}: ..."),
                *("    def table(", *self._parameters("rows", is_free=True, is_each=True), f"    ) -> {sweep}: ..."),
            ]
        )

    def _parameters(self, rows: str = "", *, is_free: bool = False, is_each: bool = False) -> list[str]:
        """The lines of all parameters; ``self`` and ``values`` have other names where an input is called so.

        ``rows`` is the table's; ``is_free``: none is required; ``is_each``: one value, or several in turn.
        """
        shown = self._interface.shown
        written = [each for each in shown if can_be_keyword(each.name)]
        lines = [f"        {rest_name(written, 'self')},"]
        if rows:
            lines.append(f"        {rest_name(written, rows)}: _rows.TableSource,")
        values = rest_name(written, "values")
        lines += [f"        {values}: _abc.Mapping[str, _typing.Any] | None = None,", "        /,"]
        if written:
            lines.append("        *,")
            lines += [f"        {self._parameter(each, is_free=is_free, is_each=is_each)}," for each in written]
        left_out = [each.name for each in shown if each not in written]
        if left_out:
            lines += [
                f"        # By **{{name: value}}: {one_line_of(', '.join(map(repr, left_out)))}",
                f"        **{rest_name(written, 'others')}: _typing.Any,",
            ]
        return lines

    def _parameter(self, parameter: Parameter, *, is_free: bool, is_each: bool) -> str:
        annotation = self._annotation(parameter)
        if is_each:
            annotation = f"_each[{annotation}]"
        if parameter.default is NO_DEFAULT:
            default = " = ..." if is_free else ""
        else:
            default = " = ..." if is_free or is_each else f" = {_default(parameter)}"
        return f"{parameter.name}: {annotation}{default}"

    def _annotation(self, parameter: Parameter) -> str:
        alias, literals = file_alias(parameter), literals_of(parameter)
        if alias is not None:
            return f"_inputs.{alias}"
        if literals is None:
            text = type_text(parameter)
            return "_typing.Any" if text == "Any" else text
        if len(literals) <= _FEW and sum(len(repr(each)) for each in literals) <= _LONGEST_DEFAULT:
            return f"_typing.Literal[{', '.join(map(repr, literals))}]"
        text = "\n".join(["_typing.Literal[", *(f"    {choice!r}," for choice in literals), "]"])
        name = f"_{_pascal(parameter.name)}"
        while self._aliases.setdefault(name, text) != text:
            name += "_"
        return name

    def _result(self, name: str, base: str, prefix: str, unknown: str) -> str:
        outputs = [
            (each.name, f"{prefix}{class_name_of(each.type)}" if class_name_of(each.type) else unknown)
            for each in self._interface.outputs.values()
        ]
        lines = [f"    {own}: {kind}" for own, kind in outputs if _is_attribute(own)]
        by_key = [f"    def __getitem__(self, name: _typing.Literal[{own!r}]) -> {kind}: ..." for own, kind in outputs]
        if len(by_key) > 1:
            by_key = [line for each in by_key for line in ("    @_typing.overload", each)]
        strict = "    __getattr__: None  # a name that is not here is an error"
        return "\n".join([f"class {name}({base}):", strict, *lines, *by_key])

    def _load(self) -> str:
        more = "workflow: _payload = ..., interface: _payload | None = ..."
        return f"""@_typing.overload
def load(
    connector: _connector.ComfyConnector, {more}
) -> _abc.Coroutine[_typing.Any, _typing.Any, {self.name}]: ...
@_typing.overload
def load(connector: _sync_connector.SyncConnector, {more}) -> Sync{self.name}: ..."""


def _is_attribute(name: str) -> bool:
    return can_be_keyword(name) and not name.startswith("_") and name not in _RESULT_MEMBERS


def _default(parameter: Parameter) -> str:
    """The default as source code, or ``...`` where it is long, or not of the type: a checker would refuse it."""
    value, literals = parameter.default, literals_of(parameter)
    if literals is not None:
        is_right = any(type(value) is type(each) and value == each for each in literals)
    else:
        is_right = file_alias(parameter) is None and _fits(type_text(parameter).split(" | "), value)
    text = repr(value) if is_right else "..."
    return text if len(text) <= _LONGEST_DEFAULT else "..."


def _fits(types: Sequence[str], value: Any) -> bool:
    if isinstance(value, float):
        return "float" in types and math.isfinite(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return "int" in types or "float" in types
    return type(value).__name__ in types and isinstance(value, bool | str)


def _docstring(text: str, indent: int) -> str:
    """``text`` as a literal in three quotes, with whatever cannot stand there escaped."""
    escaped = "".join(_escape(each) for each in text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"'))
    if escaped.endswith('"'):
        escaped = escaped[:-1] + '\\"'
    inner = escaped.replace("\n", "\n" + " " * indent)
    return '"""' + "\n".join(line.rstrip() if not line.strip() else line for line in inner.split("\n")) + '"""'


def _escape(each: str) -> str:
    return (
        each if each == "\n" or each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode("ascii")
    )


def _plain(text: str) -> str:
    """A file's name for the inside of a docstring."""
    return "".join(each if each.isprintable() and each not in '"\\' else "_" for each in text)
