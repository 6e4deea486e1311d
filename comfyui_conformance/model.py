"""Checks, their results, and the report of all of them. No I/O."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, get_args

from discomfort._json import JsonObject

Status = Literal["conforms", "differs", "skipped"]

STATUSES: tuple[Status, ...] = get_args(Status)

AREAS = ("routes", "prompts", "validation", "queueing", "interrupting", "history", "files", "uploads", "sockets")
"""The modules of the checks, in the order in which they run."""

FOLLOWED = "0.3.64"
"""The ComfyUI release whose behaviour the checks describe."""


CheckFunction = Callable[[Any], Awaitable[None]]
"""A check's function. Its argument is a :class:`~comfyui_conformance.probe.Probe`, which imports this module."""


class Skip(Exception):
    """Raised by a check that cannot run on this server; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One fact of the interface.

    ``name`` is ``area.fact``, ``expects`` the expected behaviour, ``source`` its place in ComfyUI: the file and the
    function or route. An ``exclusive`` check affects other users of the server.
    """

    name: str
    expects: str
    source: str
    run: CheckFunction = field(repr=False)
    exclusive: bool = False
    nodes: tuple[str, ...] = ()

    @property
    def area(self) -> str:
        """The first half of the name."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Difference:
    """One deviation; ``expected`` and ``found`` are shortened for display."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"

    def as_json(self) -> JsonObject:
        """The difference as an object."""
        return {"what": self.what, "expected": self.expected, "found": self.found}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check. ``reason`` says why it was skipped."""

    check: Check
    status: Status
    differences: Sequence[Difference] = ()
    reason: str = ""
    seconds: float = 0.0

    def as_json(self) -> JsonObject:
        """The result as an object."""
        return {
            "name": self.check.name,
            "status": self.status,
            "expects": self.check.expects,
            "source": self.check.source,
            "differences": [difference.as_json() for difference in self.differences],
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All results, in the order of the checks. ``system`` comes from the server's ``/system_stats``."""

    url: str
    system: JsonObject
    results: Sequence[Result]

    @property
    def ok(self) -> bool:
        """Whether nothing differs. Skipped checks do not count."""
        return not self.of("differs")

    def of(self, status: Status) -> list[Result]:
        """The results with that status."""
        return [result for result in self.results if result.status == status]

    def as_json(self) -> JsonObject:
        """The report as an object."""
        counts = {status: len(self.of(status)) for status in STATUSES}
        server = {key: self.system.get(key) for key in ("comfyui_version", "python_version", "discomfort")}
        return {
            "ok": self.ok,
            "url": self.url,
            "follows": FOLLOWED,
            "server": server,
            "counts": counts,
            "results": [result.as_json() for result in self.results],
        }


_CHECKS: dict[str, Check] = {}


def check(
    source: str, *, exclusive: bool = False, nodes: Iterable[str] = ()
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check, named by its module and name; its docstring is what the check expects.

    The check is skipped if the server does not have all the classes in ``nodes``.
    """

    def register(function: CheckFunction) -> CheckFunction:
        area = function.__module__.rpartition(".")[2]
        add(area, function.__name__, (function.__doc__ or "").strip(), source, function, exclusive, tuple(nodes))
        return function

    return register


def add(
    area: str,
    fact: str,
    expects: str,
    source: str,
    run: CheckFunction,
    exclusive: bool = False,
    nodes: tuple[str, ...] = (),
) -> None:
    """Register one check; for tables of them."""
    name = f"{area}.{fact.replace('_', '-')}"
    _CHECKS[name] = Check(name, expects, source, run, exclusive, nodes)


def all_checks(patterns: Sequence[str] = ()) -> list[Check]:
    """Every check whose name or area matches one of the shell-style ``patterns``, or all without patterns."""
    for area in AREAS:
        import_module(f"comfyui_conformance.{area}")
    found = sorted(_CHECKS.values(), key=lambda one: AREAS.index(one.area))
    return [
        one
        for one in found
        if not patterns or any(fnmatch.fnmatch(name, p) for name in (one.name, one.area) for p in patterns)
    ]


def shown(value: object, limit: int = 300) -> str:
    """The text of a value in a difference: JSON if possible, and shortened."""
    if isinstance(value, bytes):
        text = f"{len(value)} bytes {value[:24]!r}"
    elif isinstance(value, str):
        text = repr(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
