"""Servers for tests: their setup, their reset, and a real ComfyUI as a process."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import shlex
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from discomfort.exceptions import ConfigurationError, ServerError

T = TypeVar("T")
_log = logging.getLogger("discomfort.testing")

START_BUDGET = 300.0
"""Seconds that a real ComfyUI may take to start: it imports torch, on a machine that may be loaded."""
IDLE_BUDGET = 60.0
"""Seconds that a server may take to end the runs of earlier tests."""
FIRST_PORT = 18900
"""The first port that is tried for a real ComfyUI."""
_REQUEST = 30.0
_POLL = 0.01


@dataclass(frozen=True, slots=True)
class Setup:
    """What a server for tests has in addition.

    ``nodes`` are Python files with ``NODE_CLASS_MAPPINGS`` and folders of node packs, ``classes`` node classes by name
    (emulator only), ``object_info`` a saved ``/object_info`` (emulator only), ``arguments`` words of its command line,
    ``faults`` the faults of an emulator.
    """

    nodes: tuple[Path, ...] = ()
    classes: Mapping[str, type] = field(default_factory=dict)
    object_info: Path | None = None
    arguments: tuple[str, ...] = ()
    faults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ConfigurationError for a file or folder that does not exist."""
        for key, path in [("nodes", path) for path in self.nodes] + [("object_info", self.object_info)]:
            if path is not None and not path.exists():
                raise ConfigurationError(
                    "there is no such file or folder", key=f"comfyui_{key}", value=str(path),
                    remedy="Paths are relative to the folder of pytest's configuration",
                )  # fmt: skip

    def with_more(
        self,
        *,
        nodes: Sequence[Path] = (),
        classes: Mapping[str, type] | None = None,
        object_info: Path | None = None,
        arguments: Sequence[str] = (),
        faults: Mapping[str, Any] | None = None,
    ) -> Setup:
        """A setup with these additions; ``object_info`` is replaced."""
        return Setup(
            (*self.nodes, *nodes),
            {**self.classes, **(classes or {})},
            object_info or self.object_info,
            (*self.arguments, *arguments),
            {**self.faults, **(faults or {})},
        )

    def install(self, base: Path) -> list[Path]:
        """Link packs below ``base/custom_nodes``, as ComfyUI wants them, and return the single files."""
        packs = base / "custom_nodes"
        packs.mkdir(parents=True, exist_ok=True)
        for path in self.nodes:
            if path.is_dir():
                (packs / path.name).symlink_to(path.resolve(), target_is_directory=True)
        return [path.resolve() for path in self.nodes if path.is_file()]


@dataclass(frozen=True, slots=True)
class ServerFolders:
    """The folders of a server for tests, as absolute paths."""

    input: Path
    output: Path
    temp: Path
    user: Path


class ComfyServer:
    """A server for tests: ``url``, ``kind`` (``comfyui`` or ``emulator``) and its ``folders``."""

    url: str
    folders: ServerFolders

    kind: Literal["comfyui", "emulator"] = "comfyui"

    def __init__(self, url: str, folders: ServerFolders) -> None:
        self.url, self.folders = url, folders
        self._kept = set(self._files())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind} {self.url}>"

    @property
    def is_emulator(self) -> bool:
        """Whether this is the emulator and not ComfyUI itself."""
        return self.kind == "emulator"

    def get(self, path: str) -> Any:
        """The JSON that the server answers to a GET. Raises ServerError."""
        return json.loads(self._request(path, None) or b"null")

    def post(self, path: str, value: object) -> Any:
        """POST JSON and return the answer's, ``None`` for an empty one. Raises ServerError."""
        return json.loads(self._request(path, json.dumps(value).encode()) or b"null")

    def reset(self) -> None:
        """Reset the server: end all runs, clear queue, history and cache, and delete the files of earlier tests.

        Blocks until the present run has ended, a minute at most. Raises ServerError if it does not end.
        """
        self.post("/queue", {"clear": True})
        deadline = time.monotonic() + IDLE_BUDGET
        while self.get("/prompt")["exec_info"]["queue_remaining"]:
            if time.monotonic() > deadline:
                raise ServerError(f"{self.url} could not be reset: a run of an earlier test ignores its interrupt")
            self.post("/interrupt", {})
            time.sleep(_POLL)
        self.post("/history", {"clear": True})
        self.post("/free", {"unload_models": True, "free_memory": True})
        self._delete_files()

    def _delete_files(self) -> None:
        for path in self._files():
            if path not in self._kept:
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        folders = (self.folders.input, self.folders.output, self.folders.temp, self.folders.user)
        for folder in folders:
            yield from (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())

    def _request(self, path: str, data: bytes | None) -> bytes:
        request = urllib.request.Request(self.url + path, data)  # noqa: S310 - an address of ours
        # Without the proxy from the environment, since the server is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_REQUEST) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
            raise ServerError(f"{self.url}{path}: {error}") from error


@contextmanager
def real_comfyui(path: Path, base: Path, setup: Setup) -> Iterator[ComfyServer]:
    """The ComfyUI in the folder ``path``, started with ``base`` as its base folder; stopped after the block.

    It has a port, a temporary folder and a database of its own, and ends with this process in any case.
    Raises ConfigurationError for a folder without ComfyUI, or a setup that only an emulator supports; ServerStartError.
    """
    from discomfort.discovery.engines import EngineRequest, resolve_engine
    from discomfort.server.ports import lease_port
    from discomfort.server.readiness import wait_until_ready
    from discomfort.server.supervisor import Supervisor
    from discomfort.server.watchdog import Watchdog

    if setup.faults or setup.classes:
        raise ConfigurationError("only the emulator supports faults and node classes", remedy="Use comfyui_emulator")
    for file in setup.install(base):
        shutil.copyfile(file, base / "custom_nodes" / file.name)
    for name in ("input", "output", "user"):
        (base / name).mkdir(exist_ok=True)
    words = ["python3", "main.py", "--base-directory", str(base), *setup.arguments]
    request = EngineRequest(
        kind="comfyui", comfyui_path=path, command_line=shlex.join(words), working_directory=None, python=None,
        emulator_directory=None, cwd=Path.cwd(), environ=os.environ, sources={"COMFYUI_PATH": "--comfyui"},
    )  # fmt: skip
    with ExitStack() as stack:
        engine = resolve_engine(request)
        stack.callback(engine.discard)
        watchdog = Watchdog.start()
        stack.callback(watchdog.close)
        lease = lease_port("127.0.0.1", FIRST_PORT)
        stack.callback(lease.release)
        supervisor = Supervisor.start(engine.command(lease.port), watchdog=watchdog)
        stack.callback(lambda: in_new_loop(supervisor.stop))
        url = f"http://127.0.0.1:{lease.port}"
        in_new_loop(lambda: wait_until_ready(supervisor, url, budget=START_BUDGET))
        folders = engine.folders
        yield ComfyServer(url, ServerFolders(folders.input, folders.output, folders.temp, folders.user))


def in_new_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a thread of its own, since fixtures may be created while the test's loop runs."""
    outcome: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(make()))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            errors.append(error)

    thread = threading.Thread(target=run, name="discomfort-testing", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return outcome[0]
