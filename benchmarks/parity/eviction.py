"""The history beyond its limit, which ComfyUI has as a constant: many tiny prompts, and what is left of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from benchmarks.parity.comparing import Row
from benchmarks.parity.sequences import first_difference
from benchmarks.parity.servers import Server

COUNT = 10_020
BATCH = 250
SECONDS = 600.0


def tiny(name: object) -> dict[str, Any]:
    """A prompt of one node under an id."""
    graph = {"1": {"class_type": "PreviewAny", "inputs": {"source": f"{name}"}}}
    return {"prompt": graph, "prompt_id": str(name)}


async def fill(session: aiohttp.ClientSession) -> None:
    """Run all prompts, some at a time, from an empty history."""
    async with asyncio.timeout(SECONDS):
        await session.post("/history", json={"clear": True})
        for first in range(0, COUNT, BATCH):
            for number in range(first, min(first + BATCH, COUNT)):
                async with session.post("/prompt", json=tiny(number)) as answer:
                    answer.raise_for_status()
            await drained(session)


async def drained(session: aiohttp.ClientSession) -> None:
    """Wait until nothing runs or waits."""
    while True:
        async with session.get("/prompt") as answer:
            if not (await answer.json())["exec_info"]["queue_remaining"]:
                return
        await asyncio.sleep(0.02)


async def page(session: aiohttp.ClientSession, query: str) -> Any:
    """Of a page of records their number and ids, the first and the last, and what the first of them showed."""
    async with session.get(f"/history{query}") as answer:
        found = json.loads(await answer.text())
    names = list(found)
    outputs = found[names[0]].get("outputs") if names else None
    return [query, len(names), names[:3], names[-3:], outputs]


async def look(session: aiohttp.ClientSession) -> list[Any]:
    """What is there, wherever it is asked for; then after a known id, new ones and deletions."""
    queries = ["", "?max_items=2", "?max_items=2&offset=0", "?max_items=3&offset=5000", "?offset=9998", "/0", "/18"]
    queries += ["/19", "/20", "/10000", "?max_items=1&offset=10001", "?max_items=20000", "?max_items=0&offset=7"]
    told = [await page(session, query) for query in queries]
    for name in ("5000", "new", "another"):
        async with session.post("/prompt", json=tiny(name) | {"prompt": tiny(f"{name} again")["prompt"]}) as answer:
            answer.raise_for_status()
        await drained(session)
        told += [await page(session, query) for query in (f"/{name}", "?max_items=2&offset=0", "?max_items=2")]
    await session.post("/history", json={"delete": ["6000", "new", "0", "unknown"]})
    told += [await page(session, query) for query in ("", "/6000", "/new", "?max_items=2&offset=5970")]
    await session.post("/history", json={"clear": True})
    return [*told, await page(session, "")]


async def told(server: Server) -> list[Any]:
    """All that one server tells."""
    async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        await fill(session)
        return await look(session)


def compare(ours: Server, theirs: Server) -> dict[str, Row]:
    """Both servers; a case is one page."""
    row = Row()
    for mine, yours in zip(*(asyncio.run(told(server)) for server in (ours, theirs)), strict=True):
        note = first_difference(mine, yours, str(mine[0]))
        if note is None:
            row.add(0)
        else:
            row.differs(note)
    return {f"{COUNT:,} prompts": row}
