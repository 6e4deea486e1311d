"""Stand-ins for the servers of a pool: a test decides when a run begins, ends or fails, and when a server dies."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from discomfort.client.outputs import collect_outputs
from discomfort.connector.file_upload import Upload
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import DiscomfortError, ServerDiedError
from discomfort.pool.pool import ComfyPool
from discomfort.pool.pool_arguments import PoolOptions
from discomfort.pool.run_orders import PoolOrder, RunRecord
from discomfort.pool.server_profile import ServerProfile
from discomfort.progress import NodeStarted, ProgressEvent, Queued, Started

GB = 1_000_000_000
MODELS = ("a.safetensors", "b.safetensors", "c.safetensors")


def definitions(models: Sequence[str] = MODELS, **others: Any) -> dict[str, Any]:
    """The nodes of a server with these checkpoints."""
    return {
        "CheckpointLoaderSimple": {
            "input": {"required": {"ckpt_name": [list(models)]}},
            "output": ["MODEL", "CLIP", "VAE"],
            "output_is_list": [False, False, False],
            "output_node": False,
        },
        "Say": {
            "input": {"required": {"model": ["MODEL"], "text": ["STRING", {"default": ""}], "seed": ["INT", {}]}},
            "output": [],
            "output_is_list": [],
            "output_node": True,
        },
        "LoadImage": {
            "input": {"required": {"image": [[], {"image_upload": True}]}},
            "output": ["IMAGE", "MASK"],
            "output_is_list": [False, False],
            "output_node": False,
            "python_module": "nodes",
        },
        "Show": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_is_list": [], "output_node": True},
        **others,
    }


def prompt(model: str = MODELS[0], text: str = "hello", seed: int = 0) -> dict[str, Any]:
    """A prompt that uses one checkpoint and gives a text."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "2": {"class_type": "Say", "inputs": {"model": ["1", 0], "text": text, "seed": seed}},
    }


def workflow(text: str = "hello") -> dict[str, Any]:
    """A workflow of the UI, which stand-ins convert to the prompt in it."""
    return {
        "nodes": [{"id": 1, "type": "Say"}],
        "links": [],
        "version": 0.4,
        "extra": {"prompt": json.dumps(prompt(text=text))},
    }


def picture_prompt() -> dict[str, Any]:
    """A prompt that takes a picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
        "2": {"class_type": "Show", "inputs": {"images": ["1", 0]}},
    }


@dataclass(eq=False)
class StandinRun:
    """A run that a stand-in has got."""

    order: PoolOrder
    on_event: Callable[[ProgressEvent], None]
    prompt_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    end: asyncio.Future[RunRecord] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    was_cancelled: bool = False

    def start(self) -> None:
        """The server begins."""
        self.on_event(Started(self.prompt_id))

    def begin_node(self, node_id: str) -> None:
        """The server begins with a node."""
        kind = self.order.prompt[node_id]["class_type"]
        self.on_event(NodeStarted(self.prompt_id, node_id, kind, kind, 1, 2))

    def finish(self, said: str | None = None) -> None:
        """The run succeeds; its text comes back unless ``said`` is given."""
        text = self.order.prompt["2"]["inputs"].get("text", "") if said is None else said
        record = {
            "prompt": [0, self.prompt_id, self.order.prompt, {}, ["2"]],
            "outputs": {"2": {"text": [text]}},
            "status": {"status_str": "success", "completed": True, "messages": []},
            "meta": {},
        }
        self.end.set_result(RunRecord({self.prompt_id: record}, ()))

    def fail(self, error: DiscomfortError) -> None:
        """The run fails."""
        self.end.set_exception(error)


class StandinServer:
    """A server of a pool. With ``hand`` the test starts and ends each run by hand; otherwise they succeed at once."""

    def __init__(
        self,
        name: str,
        *,
        hand: bool = True,
        vram: int = 24 * GB,
        labels: Mapping[str, str] | None = None,
        is_owned: bool = True,
        nodes: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.name: str = name
        self.labels: Mapping[str, str] = dict(labels or {})
        self.is_owned: bool = is_owned
        self.is_ready: bool = False
        self.hand, self.vram = hand, vram
        self.nodes = dict(definitions() if nodes is None else nodes)
        self.sizes = dict.fromkeys(MODELS, 4 * GB) if sizes is None else dict(sizes)
        self.runs: list[StandinRun] = []
        self.got: asyncio.Queue[StandinRun] = asyncio.Queue()
        self.done: list[str] = []
        self.converted = self.wiped = self.freed = self.closed = 0
        self.uploads: list[str] = []
        self.discarded: list[str] = []
        self.given_up: list[str] = []
        self.silent = ""
        self.stats: dict[str, Any] = {}
        self.keeps_nothing = False
        self.conversion: asyncio.Event | None = None
        """What a conversion waits for."""
        self.start_error: Exception | None = None
        self._changed: Callable[[], None] = lambda: None

    @property
    def server_address(self) -> str:
        return f"http://{self.name}:8188"

    def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.is_ready = True

    async def profile(self) -> ServerProfile:
        return ServerProfile(
            url=self.server_address, vram=self.vram, keeps_nothing=self.keeps_nothing, definitions=self.nodes
        )

    async def get(self, path: str) -> Any:
        if path == "/experiment/models/checkpoints":
            return [{"name": name, "size": size} for name, size in self.sizes.items()]
        return self.stats if path == "/system_stats" else None

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        return False

    async def convert(self, workflow: Mapping[str, Any]) -> dict[str, Any]:
        self.converted += 1
        if self.conversion is not None:
            await self.conversion.wait()
        return json.loads(workflow["extra"]["prompt"])

    async def explain(self, workflow: Mapping[str, Any]) -> Explanation:
        raise NotImplementedError

    async def upload_for_call(self, source: Path | bytes, name: str, subfolder: str) -> Upload:
        self.uploads.append(name)
        return Upload(f"uploaded-{name}")

    async def discard_after_call(self, made: Upload) -> None:
        self.discarded.append(made.value)

    async def run(self, order: PoolOrder, on_event: Callable[[ProgressEvent], None]) -> RunRecord:
        run = StandinRun(order, on_event)
        self.runs.append(run)
        on_event(Queued(run.prompt_id, 0))
        if not self.hand:
            run.start()
            run.finish()
        self.got.put_nowait(run)
        try:
            record = await run.end
        except asyncio.CancelledError:
            run.was_cancelled = True
            raise
        finally:
            self.runs.remove(run)
        self.done.append(order.run_id)
        return record

    async def next_run(self) -> StandinRun:
        """The next run that the server gets."""
        async with asyncio.timeout(30):
            return await self.got.get()

    def die(self, problem: str = "the server process died") -> None:
        """The server dies with what it has; see :meth:`return_`."""
        self.is_ready = False
        for run in tuple(self.runs):
            if not run.end.done():
                run.fail(ServerDiedError(problem, signal="SIGKILL"))
        self._changed()

    def return_(self) -> None:
        """The server is ready again."""
        self.is_ready = True
        self._changed()

    async def free(self) -> None:
        self.freed += 1

    async def wipe(self) -> None:
        self.wiped += 1

    async def problem(self) -> str:
        return self.silent

    def give_up(self, reason: str) -> None:
        self.given_up.append(reason)
        self.die(reason)

    async def close(self) -> None:
        self.is_ready = False
        self.closed += 1

    def kill_now(self) -> None:
        self.closed += 1


async def pool_of(*servers: StandinServer, options: PoolOptions | None = None) -> ComfyPool:
    """A pool of stand-ins."""
    return await ComfyPool(options or PoolOptions())._begun(servers)


def texts(result: Any) -> list[Any]:
    """The texts that a run gave."""
    return [output.value for output in collect_outputs(result.history, None)]
