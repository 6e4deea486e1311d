"""Follows the types through a snippet of Python, as far as the package's own annotations tell them."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from discomfort.config import Settings


@dataclass(frozen=True)
class Of:
    """An instance of a type, as far as annotations tell; ``is_awaitable`` is ``None`` where that is not known."""

    hint: Any
    is_awaitable: bool | None = None


@dataclass(frozen=True)
class Thing:
    """A module, class or function itself; ``owner`` is the class that a method was reached by."""

    value: Any
    owner: type | None = None


class Checker:
    """Follows the types of a snippet through assignments, calls and loops, and notes every name that does not exist."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.problems: list[str] = []
        self.checked = 0

    def visit(self, node: ast.AST) -> Any:
        """Check a node and what is below it; returns what is known of an expression's value, or ``None``."""
        handler = _HANDLERS.get(type(node))
        if handler is not None:
            return handler(self, node)
        for child in ast.iter_child_nodes(node):
            self.visit(child)
        return None

    def _note(self, node: ast.AST, problem: str) -> None:
        self.problems.append(f"line {getattr(node, 'lineno', 0)}: {problem}")

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.names[alias.asname or alias.name.partition(".")[0]] = self._module(node, alias.name)

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = self._module(node, node.module or "")
        for alias in node.names:
            self.names[alias.asname or alias.name] = module and self._member(node, module, alias.name)

    def _module(self, node: ast.AST, name: str) -> Thing | None:
        try:
            return Thing(importlib.import_module(name))
        except ImportError as error:
            self._note(node, str(error))
            return None

    def _name(self, node: ast.Name) -> Any:
        return self.names.get(node.id)

    def _attribute(self, node: ast.Attribute) -> Any:
        base = self.visit(node.value)
        return self._member(node, base, node.attr) if isinstance(base, Of | Thing) else None

    def _member(self, node: ast.AST, base: Of | Thing, name: str) -> Any:
        holder = base.value if isinstance(base, Thing) else base.hint
        if not isinstance(holder, type | types.ModuleType) or not _is_ours(holder):
            return _of_others(holder, name) if isinstance(base, Thing) else None
        self.checked += 1
        owner = holder if isinstance(holder, type) else None
        if not hasattr(holder, name) and name not in _instance_names(holder):
            self._note(node, f"{getattr(holder, '__name__', holder)} has no {name!r}")
            return None
        if owner is None:
            return Thing(getattr(holder, name))
        value = inspect.getattr_static(owner, name, None)
        if isinstance(value, property):
            return Of(_returns(value.fget, owner))
        if value is None or inspect.ismemberdescriptor(value):
            return Of(_hints(holder).get(name))
        return Thing(getattr(holder, name), owner)

    def _call(self, node: ast.Call) -> Any:
        called = self.visit(node.func)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(argument)
        if not isinstance(called, Thing) or not callable(called.value) or not _is_ours(called.value):
            return None
        self._bind(node, called)
        if isinstance(called.value, type):
            return Of(called.value, is_awaitable=False)
        return Of(_returns(called.value, called.owner), inspect.iscoroutinefunction(called.value))

    def _bind(self, node: ast.Call, called: Thing) -> None:
        function = called.value
        signature = inspect.signature(function)
        given = [None] * len(node.args)
        if called.owner is not None and inspect.isfunction(function):
            given = [None, *given]
        keywords = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        takes_settings = any(p.name == "settings" and p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        for name in keywords if takes_settings else ():
            if name not in signature.parameters and name not in Settings.model_fields:
                self._note(node, f"{name!r} is not a setting")
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return
        try:
            signature.bind(*given, **dict.fromkeys(keywords))
        except TypeError as error:
            self._note(node, f"{ast.unparse(node.func)}: {error}")

    def _await(self, node: ast.Await) -> Any:
        value = self.visit(node.value)
        if isinstance(value, Of) and value.is_awaitable is False:
            self._note(node, f"{ast.unparse(node.value)} is not awaitable")
        if not isinstance(value, Of):
            return None
        waits = None if value.is_awaitable else getattr(value.hint, "__await__", None)
        if waits is not None and _is_ours(value.hint):
            # An object that can be awaited, such as a run, gives its result.
            return Of(typing.get_args(_returns(waits, None))[-1])
        return Of(value.hint)

    def _assign(self, target: ast.expr, value: Any) -> None:
        for name in ast.walk(target):
            if isinstance(name, ast.Name):
                self.names[name.id] = value if name is target else None

    def _assignment(self, node: ast.Assign) -> None:
        value = self.visit(node.value)
        for target in node.targets:
            self._assign(target, value)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, value)
        for statement in node.body:
            self.visit(statement)

    def _loop(self, node: ast.For | ast.comprehension) -> None:
        element = _element(self.visit(node.iter))
        self._assign(node.target, element)
        for statement in (*getattr(node, "body", ()), *getattr(node, "ifs", ())):
            self.visit(statement)

    def _comprehended(self, node: Any) -> None:
        for generator in node.generators:
            self.visit(generator)
        for part in ("key", "value", "elt"):
            if hasattr(node, part):
                self.visit(getattr(node, part))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        # Names mean in every function what they mean on the page: a parameter may be called connector.
        for child in (*node.decorator_list, *node.body):
            self.visit(child)

    def _handler(self, node: ast.ExceptHandler) -> None:
        kind = self.visit(node.type) if node.type else None
        if node.name:
            self.names[node.name] = Of(kind.value) if isinstance(kind, Thing) else None
        for statement in node.body:
            self.visit(statement)

    def _pattern(self, node: ast.MatchClass) -> None:
        kind = self.visit(node.cls)
        for name in node.kwd_attrs if isinstance(kind, Thing) else ():
            self._member(node, Of(kind.value), name)


_HANDLERS: dict[type[ast.AST], Callable[[Checker, Any], Any]] = {
    ast.Import: Checker._import,
    ast.ImportFrom: Checker._import_from,
    ast.Name: Checker._name,
    ast.Attribute: Checker._attribute,
    ast.Call: Checker._call,
    ast.Await: Checker._await,
    ast.Assign: Checker._assignment,
    ast.With: Checker._with,
    ast.AsyncWith: Checker._with,
    ast.For: Checker._loop,
    ast.AsyncFor: Checker._loop,
    ast.comprehension: Checker._loop,
    ast.ListComp: Checker._comprehended,
    ast.SetComp: Checker._comprehended,
    ast.DictComp: Checker._comprehended,
    ast.GeneratorExp: Checker._comprehended,
    ast.FunctionDef: Checker._function,
    ast.AsyncFunctionDef: Checker._function,
    ast.ExceptHandler: Checker._handler,
    ast.MatchClass: Checker._pattern,
}


def _of_others(holder: Any, name: str) -> Thing | None:
    try:
        return Thing(getattr(holder, name, None))
    except ImportError:  # a part that is imported when it is first used, and needs what is not installed
        return None


def _is_ours(thing: Any) -> bool:
    name = thing.__name__ if isinstance(thing, types.ModuleType) else getattr(thing, "__module__", None)
    return isinstance(name, str) and name.partition(".")[0] == "discomfort"


def _element(value: Any) -> Of | None:
    arguments = typing.get_args(value.hint) if isinstance(value, Of) else ()
    return Of(arguments[0]) if arguments and typing.get_origin(value.hint) is list else None


def _returns(function: Any, owner: type | None) -> Any:
    hint = _hints(function).get("return")
    return owner if hint is typing.Self else hint


def _hints(holder: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(holder)
    except NameError:  # an annotation whose import is for type checkers only
        return {}


def _instance_names(holder: Any) -> set[str]:
    """Names that instances get: annotated ones, and those assigned to ``self``."""
    names: set[str] = set()
    for klass in getattr(holder, "__mro__", ()):
        names.update(vars(klass).get("__annotations__", ()))
        if _is_ours(klass):
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(klass)))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    names.add(node.attr)
    return names
