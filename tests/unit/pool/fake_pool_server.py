"""A server of a pool that is not there: it shows the number of a prompt, at a gate if there is one."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from discomfort.client.artifact import Artifact, digest_of
from discomfort.exceptions import ExecutionError, NodeFailure
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import PoolOptions
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.pool.server_profile import ServerProfile
from discomfort.progress import Queued, Started

DEFINITIONS: dict[str, Any] = {
    "Show": {
        "input": {"required": {"value": ["INT", {"default": 0, "min": -9, "max": 10**6}]}},
        "input_order": {"required": ["value"]},
        "output": [], "output_is_list": [], "output_name": [], "output_node": True,
        "name": "Show", "display_name": "Show", "category": "test", "python_module": "test",
    }
}  # fmt: skip
SHOW = {"1": {"class_type": "Show", "inputs": {"value": 1}}}


class Gate:
    """Holds runs back until it is opened; both from any thread."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    async def __call__(self) -> None:
        self.reached.set()
        while not self.opened.is_set():  # noqa: ASYNC110 - opened by another thread
            await asyncio.sleep(0.005)


class FakePoolServer:
    """Gives for each run a text and a file with the value; one below zero fails, and 0 does not wait at the gate."""

    is_owned = True
    server_address = "http://user:secret@127.0.0.1:1"

    def __init__(self, name: str = "fake", gate: Gate | None = None) -> None:
        self.name, self.gate = name, gate
        self.labels: Mapping[str, str] = {"kind": "fake"}
        self.is_ready = False
        self.values: list[int] = []
        self.cancelled = 0
        self.closed = False

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    async def start(self) -> None:
        self.is_ready = True

    async def profile(self) -> ServerProfile:
        return ServerProfile(url=self.server_address, vram=24 * 10**9, vram_free=20 * 10**9, definitions=DEFINITIONS)

    async def get(self, path: str) -> Any:
        return None

    async def run(self, order: PoolOrder, on_event: Callable[[Any], None]) -> RunRecord:
        value, prompt_id = order.prompt["1"]["inputs"]["value"], str(uuid.uuid4())
        self.values.append(value)
        on_event(Queued(prompt_id, 0))
        on_event(Started(prompt_id))
        try:
            if self.gate is not None and value != 0:
                await self.gate()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if value < 0:
            failure = NodeFailure("1", "Show", None, "ValueError", f"{value} is below zero", ())
            raise ExecutionError(failure, prompt_id=prompt_id)
        return _record(prompt_id, order, str(value))

    async def free(self) -> None:
        pass

    async def wipe(self) -> None:
        pass

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        return True

    async def problem(self) -> str:
        return ""

    def give_up(self, reason: str) -> None:
        pass

    async def close(self) -> None:
        self.closed, self.is_ready = True, False

    def kill_now(self) -> None:
        self.closed = True


def _record(prompt_id: str, order: PoolOrder, text: str) -> RunRecord:
    files = [{"filename": "value.txt", "subfolder": "", "type": "output"}]
    outputs = {"1": {"text": [text], "files": files}}
    record = {"prompt": [0, prompt_id, order.prompt, {}, ["1"]], "outputs": outputs, "status": {}, "meta": {}}
    data = text.encode()
    artifact = Artifact(
        "1", "Show", "Show", "file", "value.txt", "text/plain", *digest_of(data), key="files", prompt_id=prompt_id,
        data=data,
    )  # fmt: skip
    return RunRecord({prompt_id: record}, (artifact,))  # type: ignore[dict-item]


async def fake_pool(*servers: Any, options: PoolOptions | None = None) -> ComfyPool:
    """A pool of such servers."""
    return await ComfyPool(options or PoolOptions())._begun(servers)


def text_of(result: Any) -> str:
    """The text that a run has shown."""
    return str(next(output.value for output in result.outputs if output.kind == "text"))


def saved_text(folder: Path) -> list[str]:
    """The texts of the files in a folder."""
    return sorted(path.read_text() for path in folder.iterdir())
