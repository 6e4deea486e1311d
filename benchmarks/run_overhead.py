"""The overhead of a run over a bare script, on a server that runs already: of the client, ``run_workflow``, ``submit``.

The bare script does what must be done: POST the prompt, wait on the WebSocket for ``executing`` with a null node, GET
the history. It checks nothing and hangs when anything goes wrong. All run the same tiny prompt in turns, so that the
machine's moods meet all. Figures: median milliseconds per run and their ratio; then many prompts at once.

    python benchmarks/run_overhead.py --url http://127.0.0.1:8188
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Self

import aiohttp

from discomfort import ComfyConnector
from discomfort.client.comfy import ComfyClient

Json = dict[str, Any]
Run = Callable[[Json], Awaitable[Any]]
Many = Callable[[list[Json]], Awaitable[float]]


def tiny_prompt(color: int) -> Json:
    """A picture of 16 by 16 pixels in a color of its own, so that no cache has it."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": color},
            "_meta": {"title": "picture"},
        },
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}, "_meta": {"title": "preview"}},
    }


class Bare:
    """The least that runs a prompt and gets its record."""

    def __init__(self, url: str) -> None:
        self.url, self.client_id = url, str(uuid.uuid4())

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession()
        address = "ws" + self.url.removeprefix("http") + f"/ws?clientId={self.client_id}"
        self.socket = await self.session.ws_connect(address, max_msg_size=0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self.session.close()

    async def post(self, prompt: Json) -> str:
        """Queue a prompt; its id."""
        body = {"prompt": prompt, "client_id": self.client_id}
        async with self.session.post(f"{self.url}/prompt", json=body) as response:
            return str((await response.json())["prompt_id"])

    async def ends(self) -> str:
        """Wait for the next prompt to end; its id."""
        while True:
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            event = json.loads(message.data)
            if event["type"] == "executing" and event["data"]["node"] is None:
                return str(event["data"]["prompt_id"])

    async def record(self, prompt_id: str) -> Json:
        """The record of a prompt that has ended."""
        async with self.session.get(f"{self.url}/history/{prompt_id}") as response:
            history = await response.json()
        if prompt_id not in history:
            raise RuntimeError("the history has no record")
        return dict(history)

    async def run(self, prompt: Json) -> Json:
        """One prompt from POST to record."""
        prompt_id = await self.post(prompt)
        while await self.ends() != prompt_id:
            pass
        return await self.record(prompt_id)

    async def run_many(self, prompts: list[Json]) -> float:
        """All prompts at once; seconds."""
        began = time.perf_counter()
        waiting = set(await asyncio.gather(*map(self.post, prompts)))
        reads = []
        while waiting:
            prompt_id = await self.ends()
            waiting.discard(prompt_id)
            reads.append(asyncio.create_task(self.record(prompt_id)))
        await asyncio.gather(*reads)
        return time.perf_counter() - began


async def at_once(run: Run, prompts: list[Json]) -> float:
    """All prompts at once; seconds."""
    began = time.perf_counter()
    await asyncio.gather(*map(run, prompts))
    return time.perf_counter() - began


class Sides:
    """The ways to run a prompt: the bare script, the client, and the connector in its two ways."""

    def __init__(self, bare: Bare, client: ComfyClient, connector: ComfyConnector) -> None:
        async def workflow(prompt: Json) -> Json:
            return await connector.run_workflow(prompt, False)

        async def submitted(prompt: Json) -> Json:
            return await (await connector.submit(prompt, False))

        self.single: dict[str, Run] = {
            "bare": bare.run, "client": client.run, "run_workflow": workflow, "submit": submitted
        }  # fmt: skip
        self.many: dict[str, Many] = {
            name: bare.run_many if name == "bare" else partial(at_once, run) for name, run in self.single.items()
        }


class Colors:
    """A new color for each prompt, so that no cache has its picture."""

    def __init__(self) -> None:
        self.last = int(time.time()) % 8_000_000

    def prompt(self) -> Json:
        self.last += 1
        return tiny_prompt(self.last)


async def single(sides: Sides, colors: Colors, runs: int) -> None:
    """One prompt at a time, in turns; the first ten turns do not count."""
    times: dict[str, list[float]] = {name: [] for name in sides.single}
    names = list(sides.single)
    for turn in range(runs + 10):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            await sides.single[name](colors.prompt())
            if turn >= 10:
                times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    for name, median in medians.items():
        print(f"one at a time, {runs} each: {name} {median:.3f} ms, ratio {median / medians['bare']:.3f}")


async def many(sides: Sides, colors: Colors, count: int, rounds: int) -> None:
    """Many prompts together, in turns; another side begins each turn, since ComfyUI slows down as its history grows."""
    rates: dict[str, list[float]] = {name: [] for name in sides.many}
    names = list(sides.many)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            rates[name].append(count / await sides.many[name]([colors.prompt() for _ in range(count)]))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, median in medians.items():
        print(f"{count} at once, {rounds} rounds each: {name} {median:.0f}/s, ratio {median / medians['bare']:.3f}")


async def compare(url: str, runs: int, count: int, rounds: int) -> None:
    """Measure all sides and print the figures."""
    client = ComfyClient(url)
    await client.open()
    try:
        async with Bare(url) as bare, await ComfyConnector.attach(url, browser="lazy") as connector:
            sides, colors = Sides(bare, client, connector), Colors()
            await single(sides, colors, runs)
            await many(sides, colors, count, rounds)
    finally:
        await client.aclose()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a server that runs")
    parser.add_argument("--runs", type=int, default=200, help="runs of each, one at a time")
    parser.add_argument("--at-once", type=int, default=64, help="prompts queued together")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of prompts queued together")
    arguments = parser.parse_args()
    asyncio.run(compare(arguments.url.rstrip("/"), arguments.runs, arguments.at_once, arguments.rounds))


if __name__ == "__main__":
    main()
