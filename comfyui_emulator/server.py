"""The emulator as an object: folders, node types, sockets, queue and worker of one server."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import gzip
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from comfyui_emulator import runtime
from comfyui_emulator.device import make_device
from comfyui_emulator.execution.engine import Engine
from comfyui_emulator.execution.queue import PromptQueue, work
from comfyui_emulator.execution.stores import make_store
from comfyui_emulator.execution.worker import NodeThread
from comfyui_emulator.folders import default_base_directory, resolve_folders
from comfyui_emulator.http.hub import Hub
from comfyui_emulator.http.logbook import LogBook
from comfyui_emulator.model_folders import ModelFolders
from comfyui_emulator.packs import Pack, load_packs
from comfyui_emulator.registry import JsonObject, Registry, UnloadedNodesError
from comfyui_emulator.replacements import ReplacementTable
from comfyui_emulator.temporary import TempFolder
from comfyui_emulator.users import Users

if TYPE_CHECKING:
    from comfyui_emulator.settings import EmulatorConfig

log = logging.getLogger("comfyui_emulator")


class Emulator:
    """One server, made by :func:`comfyui_emulator.create_app`, and started and closed with its application."""

    def __init__(self, config: EmulatorConfig, front_end: Path | None) -> None:
        self.config, self.front_end = config, front_end
        base = Path(config.base_directory or default_base_directory()).absolute()
        self.base = base
        self._temp = TempFolder(Path(config.temp_directory or base).absolute())
        self.folders = resolve_folders(config, self._temp.path)
        self.features = server_features(config)
        self.faults = config.faults
        self.hub = Hub(self.features, self.faults)
        self.log_book = LogBook(self.hub)
        self.models = ModelFolders(self.folders)
        self.device = make_device(config, self.models)
        self.users = Users(self.folders.user, multiple=config.multi_user)
        self.thread = NodeThread()
        self.pack_routes = web.RouteTableDef()
        self.replacements = ReplacementTable()
        self.context = runtime.NodeContext(
            self.folders,
            metadata=not config.disable_metadata,
            send=self._send,
            routes=self.pack_routes,
            replacements=self.replacements,
            comfyui=config.comfyui.absolute() if config.comfyui else None,
            unload=self.device.unload if self.device else None,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._registry: Registry | None = None
        self._worker: asyncio.Task[None] | None = None
        self.queue = PromptQueue(self.announce, self.faults)
        self.packs: list[Pack] = []
        self.engine: Engine | None = None
        self._ready = asyncio.Event()
        self._failure: Exception | None = None

    @property
    def registry(self) -> Registry:
        """All node types; loaded on first use, because that imports the numeric libraries."""
        if self._registry is None:
            self._registry, self.packs = load_registry(self.config)
        return self._registry

    async def nodes(self) -> Registry:
        """The node types; waits until the worker has loaded them, shortly after the start.

        Raises :class:`UnloadedNodesError` if it cannot.
        """
        await self._ready.wait()
        if self._failure is not None:
            raise UnloadedNodesError(f"the node types could not be loaded: {self._failure}") from self._failure
        return self.registry

    @functools.cached_property
    def pack_router(self) -> web.UrlDispatcher:
        """The routes of packs, under both prefixes; complete once the packs are loaded."""
        router = web.UrlDispatcher()
        for route in self.pack_routes:
            if isinstance(route, web.RouteDef):
                for path in (route.path, f"/api{route.path}"):
                    # As aiohttp adds the routes of a table: one for GET also answers HEAD.
                    web.RouteDef(route.method, path, route.handler, route.kwargs).register(router)
            else:
                route.register(router)
        return router

    def queue_info(self) -> JsonObject:
        """The content of ``GET /prompt`` and of ``status`` messages."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    def announce(self) -> None:
        """Send ``status`` to all clients."""
        self.hub.send("status", {"status": self.queue_info()})

    def _send(self, event: str, data: Any, sid: str | None = None) -> None:
        """Send a message from any thread; does nothing before the start."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.hub.send, event, data, sid)

    def interrupt(self) -> None:
        """Request an interrupt, which takes effect at the running node's next check."""
        self.context.interrupt.set()

    async def start(self) -> None:
        """Take the temporary folder and start the worker. Called when the application starts, with its port bound."""
        path = await asyncio.to_thread(self._temp.open)
        if path != self.folders.temp:
            self.folders = replace(self.folders, temp=path)
            self.context.folders = self.folders
        self.log_book.open()
        self._loop = asyncio.get_running_loop()
        self.thread.start()
        self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        with runtime.using(self.context):
            try:
                registry = await self.thread.run(lambda: self.registry)
            except Exception as error:  # noqa: BLE001 - raised to everybody who waits for the node types
                self._failure = error
                self._ready.set()
                return
            self.context.classes = {name: kind.cls for name, kind in registry.items() if kind.cls is not None}
            results = make_store(self.config.cache, self.config.cache_lru, self.config.cache_ram)
            self.engine = Engine(
                registry, self.hub, self.thread, self.context, results, faults=self.faults, device=self.device,
                seconds=self.config.node_seconds,
            )  # fmt: skip
            self._ready.set()
            await work(self.queue, self.engine)

    async def close(self) -> None:
        """Stop the worker, close the sockets, remove the temporary folder. Idempotent; a running node is abandoned."""
        self.context.interrupt.set()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker
        await self.hub.close()
        self.queue.history.close()
        self.thread.stop()
        self.log_book.close()
        await asyncio.to_thread(self._temp.close)


EMULATOR: web.AppKey[Emulator] = web.AppKey("emulator", Emulator)


def of(request: web.Request) -> Emulator:
    """The emulator that serves ``request``."""
    return request.app[EMULATOR]


def load_registry(config: EmulatorConfig) -> tuple[Registry, list[Pack]]:
    """Load built-in node types, those of ``extra_nodes`` and of packs; ``object_info`` overrides their definitions.

    Raises ``ValueError`` if ``node_seconds`` names another one.
    """
    from comfyui_emulator.nodes import register_all

    registry = Registry()
    register_all(registry)
    for name, cls in config.extra_nodes.items():
        registry.add_class(name, cls, getattr(cls, "DISPLAY_NAME", name))
    packs = load_packs(config.custom_nodes, registry)
    if config.object_info is not None:
        registry.add_definitions(read_object_info(config.object_info))
    for name in config.node_seconds:
        if name not in registry:
            near = difflib.get_close_matches(name, registry, n=1)
            remedy = f"did you mean {near[0]}?" if near else "/object_info lists the classes"
            raise ValueError(f"node_seconds (--node-seconds) names {name!r}, a class that this server lacks; {remedy}")
    return registry, packs


def read_object_info(path: Path) -> dict[str, JsonObject]:
    """Read a saved ``/object_info``, plain or gzipped. Raises ``OSError``, or ``ValueError`` for any other file."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    content: Any = json.loads(data)
    if not isinstance(content, dict) or not all(isinstance(v, dict) and "input" in v for v in content.values()):
        raise ValueError(f"{path} is not a saved /object_info: an object of node definitions was expected")
    return content


def server_features(config: EmulatorConfig) -> JsonObject:
    """The feature flags, as ``/features`` and sockets report them (ComfyUI 0.33.0)."""
    core: JsonObject = {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": _whole(config.max_upload_size * 1024 * 1024),
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    }
    return {**config.feature_flags, **core}


def _whole(number: float) -> float | int:
    return int(number) if number == int(number) else number
