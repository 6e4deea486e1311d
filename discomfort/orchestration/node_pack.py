"""Our nodes in a server, as its definitions show them: whether they are there, and whether they see our files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discomfort.context.exchange import HANDSHAKE, LOADER, SAVER, VERSION
from discomfort.workflow.compilation import Sink
from discomfort.workflow.workflow_ports import PORT


@dataclass(frozen=True, slots=True)
class NodePack:
    """What a server offers for the values of ports.

    ``obstacle`` says why values cannot go through shared files, empty if they can; ``sees_memory`` whether those may
    be in memory. ``has_port`` and ``has_preview`` say which nodes can end a prompt.
    """

    obstacle: str = ""
    sees_memory: bool = False
    has_port: bool = False
    has_preview: bool = False

    def reference_sink(self, unique_id: str) -> Sink | None:
        """A node that has the server make an object that stays there; ``None`` if there is none."""
        if self.has_port:
            return Sink(PORT, {"unique_id": unique_id})
        return Sink("PreviewAny", name="source") if self.has_preview else None


def node_pack(definitions: Mapping[str, Any], *, is_attached: bool) -> NodePack:
    """What the definitions of a server say."""
    sees = _sees(definitions)
    return NodePack(
        obstacle=_obstacle(definitions, sees, is_attached=is_attached),
        sees_memory="ram" in sees,
        has_port=PORT in definitions,
        has_preview="PreviewAny" in definitions,
    )


def _obstacle(definitions: Mapping[str, Any], sees: tuple[str, ...], *, is_attached: bool) -> str:
    if is_attached:
        return "it is attached, and not started by this program"
    if LOADER not in definitions or SAVER not in definitions:
        return f"it has no node {LOADER if LOADER not in definitions else SAVER}"
    said = _said(definitions)
    if said is None or said.get("version") != VERSION:
        version = "no version" if said is None else f"version {said.get('version')!r}"
        return (
            f"its node {LOADER} has {version}, and {VERSION} is needed: remove the other Discomfort pack from its "
            "custom_nodes, or update it"
        )
    return "" if "disk" in sees else "its nodes do not see the folder of contexts, which must be private to one user"


def _said(definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        said = definitions[LOADER]["input"]["hidden"][HANDSHAKE][1]["default"]
    except (KeyError, IndexError, TypeError):
        return None
    return said if isinstance(said, Mapping) else None


def _sees(definitions: Mapping[str, Any]) -> tuple[str, ...]:
    found = (_said(definitions) or {}).get("sees")
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()
