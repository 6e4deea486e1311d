"""Checks, their results, and the report of all of them. No I/O."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, get_args

from comfyui_conformance.changes import CHANGES, Rules, rules_for
from discomfort._json import JsonObject

Status = Literal["conforms", "differs", "skipped", "not-applicable"]

STATUSES: tuple[Status, ...] = get_args(Status)

AREAS = (
    "routes", "discovery", "prompts", "validation", "inputs", "queueing", "interrupting", "jobs", "history", "files",
    "uploads", "sockets",
)  # fmt: skip
"""The modules of the checks, in the order in which they run."""


CheckFunction = Callable[[Any], Awaitable[None]]
"""A check's function. Its argument is a :class:`~comfyui_conformance.probe.Probe`, which imports this module."""


class Skip(Exception):
    """Raised by a check that cannot run on this server; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One fact of the interface.

    ``name`` is ``area.fact``, ``expects`` the expected behaviour, ``source`` its place in ComfyUI: the file and the
    function or route. An ``exclusive`` check affects other users of the server. ``since`` and ``before`` are releases
    of ComfyUI: the fact holds in all that are not older than ``since`` and are older than ``before``, where given.
    """

    name: str
    expects: str
    source: str
    run: CheckFunction = field(repr=False)
    exclusive: bool = False
    nodes: tuple[str, ...] = ()
    since_change: str = ""
    before_change: str = ""

    @property
    def area(self) -> str:
        """The first half of the name."""
        return self.name.partition(".")[0]

    @property
    def since(self) -> str:
        """The first release in which the fact holds, or an empty text for all that are known."""
        return CHANGES[self.since_change].since if self.since_change else ""

    @property
    def before(self) -> str:
        """The first release in which the fact holds no more, or an empty text."""
        return CHANGES[self.before_change].since if self.before_change else ""

    @property
    def holds(self) -> str:
        """The releases in which the fact holds: ``since 0.25.0``, ``before 0.25.0``, or an empty text for all."""
        return " ".join(f"{word} {release}" for word in ("since", "before") if (release := getattr(self, word)))

    def why_not(self, rules: Rules) -> str:
        """Why the fact is not expected of a server with these rules, or an empty text if it is."""
        if self.since_change and not rules.has(self.since_change):
            return f"holds since ComfyUI {self.since}: {CHANGES[self.since_change].says}"
        if self.before_change and rules.has(self.before_change):
            return f"holds before ComfyUI {self.before}; since then {CHANGES[self.before_change].says}"
        return ""


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
    """The result of one check. ``reason`` says why it was skipped, or does not apply to the server's version."""

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
            "since": self.check.since,
            "before": self.check.before,
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
        """Whether nothing differs. Checks that were skipped, or do not apply, do not count."""
        return not self.of("differs")

    @property
    def rules(self) -> Rules:
        """The ComfyUI release that the server was compared with, and why it is not the server's own, if so."""
        return rules_for(self.system)

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
            "follows": self.rules.follows,
            "doubt": self.rules.doubt,
            "server": server,
            "counts": counts,
            "results": [result.as_json() for result in self.results],
        }


_CHECKS: dict[str, Check] = {}


def check(
    source: str, *, exclusive: bool = False, nodes: Iterable[str] = (), since: str = "", before: str = ""
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check, named by its module and name; its docstring is what the check expects.

    The check is skipped if the server does not have all the classes in ``nodes``. It applies only to servers with the
    change ``since`` and without the change ``before``, both of :data:`~comfyui_conformance.changes.CHANGES`.
    """

    def register(function: CheckFunction) -> CheckFunction:
        area = function.__module__.rpartition(".")[2]
        expects = (function.__doc__ or "").strip()
        add(area, function.__name__, expects, source, function, exclusive, tuple(nodes), since=since, before=before)
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
    *,
    since: str = "",
    before: str = "",
) -> None:
    """Register one check; for tables of them. Raises KeyError for a change that is not in the table."""
    for change in filter(None, (since, before)):
        CHANGES[change]
    name = f"{area}.{fact.replace('_', '-')}"
    _CHECKS[name] = Check(name, expects, source, run, exclusive, nodes, since, before)


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
