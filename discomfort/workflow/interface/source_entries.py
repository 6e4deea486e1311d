"""Entries of the sources, before they are merged: what each declares, and the names that it wants for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from discomfort.workflow.interface.declarations import InputTarget, InterfaceProblem, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class InputEntry:
    """One input that a source declares. ``entry`` names it in problems, as its source does.

    ``names`` are the wanted names, the best first; with ``is_exact`` they are kept as they are if Python takes them as
    names. ``given`` are fields of ``Parameter`` that the source sets itself;
    the others come from the definition of the first target.
    """

    source: Source
    entry: str
    names: tuple[str, ...]
    is_exact: bool = False
    is_required: bool = False
    targets: tuple[InputTarget, ...] = ()
    port: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEntry:
    """One output that a source declares; ``given`` are fields of ``InterfaceOutput``.

    ``is_named``: somebody gave it its name; otherwise it has the name of what it saves, and a number if that is taken.
    """

    source: Source
    entry: str
    names: tuple[str, ...]
    is_exact: bool = False
    is_named: bool = True
    node_id: str
    port: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class SourceEntries:
    """What one source declares, in its order."""

    inputs: list[InputEntry] = field(default_factory=list)
    outputs: list[OutputEntry] = field(default_factory=list)
    problems: list[InterfaceProblem] = field(default_factory=list)
