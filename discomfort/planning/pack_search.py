"""Node packs that a workflow lacks, from what the workflow says about its nodes and what the server's manager lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.exceptions import MissingNode
from discomfort.planning.import_errors import ImportFailures
from discomfort.planning.needs import CORE_PACK, PackNeed
from discomfort.workflow.subgraphs import find_node


@dataclass(frozen=True, slots=True)
class _Origin:
    pack_id: str | None = None
    repository: str | None = None
    version: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def key(self) -> str | None:
        return self.pack_id or self.repository


@dataclass(slots=True)
class _Group:
    origin: _Origin
    class_types: list[str] = field(default_factory=list)
    node_ids: list[str] = field(default_factory=list)


def missing_packs(
    missing: Sequence[MissingNode],
    workflow: JsonObject | None,
    failures: ImportFailures,
    listed: Mapping[str, Sequence[str]],
) -> tuple[PackNeed, ...]:
    """The packs of the missing classes, those of one pack together.

    ``workflow`` is ``None`` for a prompt, which does not name packs. ``listed`` has the packs of each class by the
    manager's list.
    """
    groups: dict[str, _Group] = {}
    for each in missing:
        origin = _origin(each, workflow, listed)
        group = groups.setdefault(origin.key or f"\0{each.class_type}", _Group(origin))
        group.class_types.append(each.class_type)
        group.node_ids.extend(each.node_ids)
    return tuple(
        PackNeed(
            class_types=tuple(group.class_types),
            node_ids=tuple(group.node_ids),
            pack_id=group.origin.pack_id,
            version=group.origin.version,
            repository=group.origin.repository,
            import_error=_import_error(group.origin, failures),
            candidates=group.origin.candidates,
        )
        for group in groups.values()
    )


def manager_packs(answer: Any, classes: Iterable[str]) -> dict[str, list[str]]:
    """The packs of ``classes`` in the manager's answer: ``{pack: [[class, …], {…}]}``, of which nothing is trusted."""
    wanted, found = set(classes), dict[str, list[str]]()
    for pack, entry in answer.items() if isinstance(answer, dict) else ():
        names = entry[0] if isinstance(entry, list) and entry else None
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str) and name in wanted and isinstance(pack, str):
                found.setdefault(name, []).append(pack)
    return found


def _origin(each: MissingNode, workflow: JsonObject | None, listed: Mapping[str, Sequence[str]]) -> _Origin:
    for node_id in each.node_ids if workflow is not None else ():
        node = find_node(workflow, node_id) if workflow is not None else None
        properties = node.get("properties") if node is not None else None
        if isinstance(properties, dict):
            pack_id, repository = _text(properties.get("cnr_id")), _text(properties.get("aux_id"))
            origin = _Origin(pack_id, repository, _text(properties.get("ver")))
            if origin.key is not None:
                return origin
    packs = list(dict.fromkeys(listed.get(each.class_type, ())))
    if len(packs) == 1:
        return _Origin(repository=packs[0]) if "/" in packs[0] else _Origin(pack_id=packs[0])
    return _Origin(candidates=tuple(packs))


def _import_error(origin: _Origin, failures: ImportFailures) -> str | None:
    if origin.pack_id == CORE_PACK:
        return f"ComfyUI could not import {', '.join(failures.own)}" if failures.own else None
    return failures.of(origin.pack_id, origin.repository)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
