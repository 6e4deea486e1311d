"""The server of a connector, as what provides models and packs for it sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from discomfort.client.comfy import ComfyClient
from discomfort.connector.resources import Resources
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.server_view import ServerView
from discomfort.connector.startup import Startup
from discomfort.connector.states import Lifecycle, State
from discomfort.discovery.command_line import script_index
from discomfort.discovery.engines import Engine
from discomfort.discovery.node_pack import FOLDER
from discomfort.exceptions import StateError
from discomfort.planning.workflow_plan import WorkflowPlan
from discomfort.provision.server_site import ServerSite

_EMULATOR_PACKS = "--custom-node-directory"


class ProvideTarget:
    """What :class:`ProvidedServer` asks for, from the parts of a connector; ``plan_again`` makes the new plan."""

    def __init__(
        self,
        parts: Resources,
        lifecycle: Lifecycle,
        startup: Startup,
        loss: ServerLoss,
        client: Callable[[], ComfyClient],
        view: ServerView,
        plan_again: Callable[[], Awaitable[WorkflowPlan | None]],
    ) -> None:
        self._parts, self._lifecycle, self._startup, self._loss = parts, lifecycle, startup, loss
        self._client, self._view, self._plan_again = client, view, plan_again

    @property
    def site(self) -> ServerSite:
        """Where it is; of an attached server, nothing is known."""
        engine = self._parts.engine
        if not self._parts.owned or engine is None:
            return ServerSite(is_ours=False)
        return ServerSite(True, engine.python, _root(engine), _custom_nodes(engine))

    async def is_busy(self) -> bool:
        """Whether anybody's prompts are queued or running."""
        queue = await self._client().rest.queue()
        return bool(self._client().runs) or any(queue.get(f"queue_{state}") for state in ("running", "pending"))

    async def model_folders(self) -> Any:
        """The answer of ``/experiment/models``; ``None`` if there is none."""
        return await self._view.get("/experiment/models")

    async def model_names(self, kind: str) -> list[str] | None:
        """The models of a kind that the server lists; ``None`` if it does not say."""
        found = await self._view.get(f"/models/{kind}")
        return [name for name in found if isinstance(name, str)] if isinstance(found, list) else None

    def forget_definitions(self) -> None:
        """Have the definitions of nodes fetched again when they are next needed."""
        if self._parts.client is not None:
            self._parts.client.forget_definitions()

    async def restart(self) -> None:
        """Stop the server and start it again. Raises StateError if a run is under way, and what a start raises."""
        self._lifecycle.refuse_if_ending()
        if self._parts.client is not None and self._parts.client.runs:
            raise StateError("runs are under way, which a restart would end")
        # No await since the check: a run that begins now waits for the start.
        self._loss.expect_end()
        if self._lifecycle.state is State.READY:
            self._lifecycle.to(State.ERROR, "it is started again for new node packs")
        await self._startup.start()

    async def class_types(self) -> frozenset[str]:
        """The classes of nodes that the server has."""
        self.forget_definitions()
        return frozenset(await self._client().shared_definitions())

    async def new_plan(self) -> WorkflowPlan | None:
        """The plan again; ``None`` if it was not this connector that made it."""
        return await self._plan_again()

    def watch(self, pid: int, start_time: float) -> None:
        """Have the watchdog end a process if ours is killed."""
        if self._parts.watchdog is not None:
            self._parts.watchdog.watch_process(pid, start_time, group=True)

    def forget(self, pid: int) -> None:
        """The process has ended."""
        if self._parts.watchdog is not None:
            self._parts.watchdog.forget_process(pid)


def _root(engine: Engine) -> Path | None:
    """The folder with ComfyUI's ``main.py``; ``None`` for a wrapper, and for the emulator."""
    index = script_index(engine.argv) if engine.kind == "comfyui" else None
    return None if index is None else (engine.cwd / engine.argv[index]).parent


def _custom_nodes(engine: Engine) -> Path | None:
    """The folder of packs; for the emulator the last one that its command line names."""
    if engine.kind == "comfyui":
        return engine.folders.base / "custom_nodes"
    words = engine.argv
    named = [Path(words[i + 1]) for i, word in enumerate(words[:-1]) if word == _EMULATOR_PACKS]
    given = [engine.cwd / path for path in named if path != FOLDER]
    return given[-1] if given else None
