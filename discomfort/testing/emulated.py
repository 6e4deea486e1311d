"""An emulator in a thread of the test's process: it starts at once, and its faults can be changed while it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from aiohttp import web

from comfyui_emulator.command import bind, config_from
from comfyui_emulator.faults import Faults, parse_faults
from comfyui_emulator.flags import parser
from comfyui_emulator.http.app import create_app
from comfyui_emulator.server import EMULATOR
from comfyui_emulator.settings import EmulatorConfig
from discomfort.exceptions import ConfigurationError, StateError
from discomfort.testing.servers import ComfyServer, ServerFolders, Setup

T = TypeVar("T")
_OF_A_PROCESS = ("start_delay", "exit_at_start", "never_listen")
_PATIENCE = 60.0


class EmulatorServer(ComfyServer):
    """An emulator for tests. ``faults`` may be changed at any time; :meth:`reset` restores the initial ones.

    ``faults.crash_at`` does not end the process, which is the tests': the port closes and every connection breaks, as
    if a server was killed. :meth:`restart` starts it again. Close it at the end, or use it in a ``with`` block.
    """

    kind: Literal["comfyui", "emulator"] = "emulator"

    def __init__(self, base: Path, setup: Setup | None = None) -> None:
        self._setup, self._base = setup or Setup(), base
        self._config = _config_of(self._setup, base)
        self.faults: Any = _faults_of(self._setup.faults, self._crash)
        self._crashed = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._port = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="discomfort-emulator", daemon=True)
        self._thread.start()
        try:
            folders = self._call(self._start)
        except BaseException as error:
            self._end_loop()
            if isinstance(error, OSError | ImportError | AttributeError | ValueError):
                raise ConfigurationError(f"the emulator cannot start: {error}") from error
            raise
        super().__init__(f"http://127.0.0.1:{self._port}", folders)

    @property
    def crashed(self) -> bool:
        """Whether the emulator crashed (:attr:`faults` ``.crash_at``) since the last start."""
        return self._crashed.is_set()

    def wait_crashed(self, timeout: float = 30.0) -> None:
        """Wait until it has crashed. Raises TimeoutError after ``timeout`` seconds."""
        if not self._crashed.wait(timeout):
            raise TimeoutError(f"{self.url} did not crash within {timeout:g} s")

    def restart(self) -> None:
        """Restart it on its port, in its folders, without faults, queue, history and cache. Also after a crash."""
        self._call(self._stop)
        self._set_faults({})
        self._call(self._start)

    def reset(self) -> None:
        """As :meth:`ComfyServer.reset`, with the initial faults; restarts the emulator if necessary."""
        if self._loop.is_closed():
            raise StateError("the emulator was closed")
        is_deaf = bool(self.faults.hang_at or self.faults.node_delay or self.faults.never_answer)
        if self.crashed or is_deaf or self.faults != self._fresh_faults():
            self.restart()
        self._set_faults(self._setup.faults)
        super().reset()

    def close(self) -> None:
        """Stop it and end its thread. Idempotent."""
        if not self._loop.is_closed():
            try:
                self._call(self._stop)
            finally:
                self._end_loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- in its thread -----------------------------------------------------------------------------------------------

    async def _start(self) -> ServerFolders:
        (taken,) = bind(["127.0.0.1"], self._port)
        try:
            app = create_app(replace(self._config, faults=self.faults))
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
            await self._runner.setup()
            # Not a site of the runner, because a crash must close the port at once.
            server: Any = self._runner.server
            self._listener = await self._loop.create_server(server, sock=taken)
        except BaseException:
            taken.close()
            raise
        self._port = int(taken.getsockname()[1])
        self._crashed.clear()
        emulator = app[EMULATOR]
        # Node types load in the background; their errors are errors of the start.
        await asyncio.wait_for(_loaded(emulator), _PATIENCE)
        found = emulator.folders
        return ServerFolders(found.input, found.output, found.temp, found.user)

    async def _stop(self) -> None:
        self._listener.close()
        await self._runner.cleanup()

    def _crash(self) -> None:
        self._listener.close()
        server = self._runner.server
        for connection in server.connections if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()
        self._crashed.set()

    # --- from outside ------------------------------------------------------------------------------------------------

    def _call(self, work: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        if not self._thread.is_alive():
            self._loop.close()

    def _fresh_faults(self) -> Faults:
        return _faults_of(self._setup.faults, self._crash)

    def _set_faults(self, values: Mapping[str, Any]) -> None:
        wanted = _faults_of(values, self._crash)
        for item in fields(Faults):
            setattr(self.faults, item.name, getattr(wanted, item.name))


class _ThreadFaults(Faults):
    """Faults of an emulator in a thread, which must not end the process."""

    on_crash: Callable[[], None]

    async def before_node(self, node_id: str, class_type: str) -> None:
        """As in the emulator, but a crash is simulated."""
        if self.crash_at in (node_id, class_type):
            self.on_crash()
            await asyncio.Event().wait()
        await super().before_node(node_id, class_type)


def _faults_of(values: Mapping[str, Any], on_crash: Callable[[], None]) -> Faults:
    of_a_process = [name for name in _OF_A_PROCESS if name in values]
    if of_a_process:
        raise ConfigurationError(
            f"{of_a_process[0]} needs an emulator in a process of its own", key="faults", value=dict(values),
            remedy="Use comfy_owned_connector, which starts one",
        )  # fmt: skip
    try:
        parse_faults(f"{name}={value}" for name, value in values.items())
    except ValueError as error:
        raise ConfigurationError(str(error), key="faults", value=dict(values)) from error
    faults = _ThreadFaults(**values)
    faults.on_crash = on_crash
    return faults


def _config_of(setup: Setup, base: Path) -> EmulatorConfig:
    words = emulator_words(setup, base)
    try:
        options = parser().parse_args(words)
    except SystemExit as error:
        raise ConfigurationError(
            "the emulator does not accept these arguments", key="comfyui_arguments", value=" ".join(setup.arguments),
            remedy="Run: discomfort serve --help",
        ) from error  # fmt: skip
    try:
        config = config_from(options, words)
    except (OSError, ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ConfigurationError(f"the emulator cannot be set up: {error}", key="comfyui_nodes") from error
    return replace(config, extra_nodes={**config.extra_nodes, **setup.classes})


def emulator_words(setup: Setup, base: Path) -> list[str]:
    """The command line of an emulator with this setup, without ``faults`` and ``classes``."""
    words = ["--base-directory", str(base)]
    for file in setup.install(base):
        words += ["--extra-nodes", str(file)]
    if any(path.is_dir() for path in setup.nodes):
        words += ["--custom-node-directory", str(base / "custom_nodes")]
    if setup.object_info is not None:
        words += ["--object-info", str(setup.object_info.resolve())]
    return [*words, *setup.arguments]


async def _loaded(emulator: Any) -> None:
    """Wait until the node types are loaded. Raises the error of the worker that loads them."""
    worker = emulator._worker
    ready = asyncio.ensure_future(emulator.nodes())
    await asyncio.wait({ready, worker}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await worker
    await ready
