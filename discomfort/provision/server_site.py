"""The server of a provision: its answers, and its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from discomfort.planning.workflow_plan import WorkflowPlan


@dataclass(frozen=True, slots=True)
class ServerSite:
    """Where a server is installed: ``root`` has ComfyUI's ``main.py``, ``custom_nodes`` its packs, ``python`` runs it.

    ``None`` for what is not known. ``is_ours`` says that we start and stop it.
    """

    is_ours: bool
    python: str = ""
    root: Path | None = None
    custom_nodes: Path | None = None


class ProvidedServer(Protocol):
    """The server for which things are fetched; a connector has one."""

    @property
    def site(self) -> ServerSite:
        """Where it is."""

    async def is_busy(self) -> bool:
        """Whether runs are under way, which a restart would end."""

    async def model_folders(self) -> Any:
        """What it answers to ``/experiment/models``; ``None`` if it does not have that."""

    async def model_names(self, kind: str) -> list[str] | None:
        """The models of a kind that it lists now; ``None`` if it does not say."""

    def forget_definitions(self) -> None:
        """Have the definitions of nodes, with their lists of models, fetched again when they are next needed."""

    async def restart(self) -> None:
        """Stop and start it. Raises StateError if runs are under way, ServerStartError, SelfTestError."""

    async def class_types(self) -> frozenset[str]:
        """The classes of nodes that it knows now."""

    async def new_plan(self) -> WorkflowPlan | None:
        """The plan again; ``None`` if the workflow is not known any more."""

    def watch(self, pid: int, start_time: float) -> None:
        """Have a process ended if ours is killed."""

    def forget(self, pid: int) -> None:
        """The process has ended."""
