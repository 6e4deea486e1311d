"""More scenarios: corners of the socket, hooks that are coroutines, and what caches keep."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import aiohttp

from benchmarks.parity.building import Builder
from benchmarks.parity.scenarios import SCENARIOS, numbers, scenario, shown
from benchmarks.parity.watching import Stage

__all__ = ["SCENARIOS"]

FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


async def preview(stage: Stage, value: int, client: str = "a", name: str = "p") -> None:
    """A run whose previews tell what the server thinks of the client."""
    await stage.run(shown("ParitySteps", value=value, steps=1, preview="JPEG", size=16), client, name)


@scenario
async def features_told_otherwise(stage: Stage) -> None:
    """Late, twice, after an invalid message, without data, with odd data."""
    firsts: dict[str, list[str | bytes]] = {
        "late": ['{"type": "hello"}', json.dumps(FLAGS)],
        "twice": [json.dumps(FLAGS), json.dumps(FLAGS | {"data": {"supports_preview_metadata": False}})],
        "after garbage": ["{", "[1]", "5", json.dumps(FLAGS)],
        "after bytes": [b"\0\0\0\1", json.dumps(FLAGS)],
        "without data": ['{"type": "feature_flags"}'],
        "odd": ['{"type": "feature_flags", "data": {"supports_preview_metadata": "yes", "other": [1]}}'],
    }
    for index, (name, messages) in enumerate(firsts.items()):
        client = await stage.join(name)
        for message in messages:
            await (client.socket.send_str if isinstance(message, str) else client.socket.send_bytes)(message)
        # Its answer tells that all before it was read.
        await client.socket.ping()
        await preview(stage, 750 + index, name, name)


@scenario
async def without_a_client_id(stage: Stage) -> None:
    """The server makes an id, under which prompts are heard of."""
    for index, query in enumerate(("", "?clientId=", "?other=1")):
        client = await stage.join(f"nobody {index}", query=query)
        sid = client.events[0][1]["sid"]
        stage.told.append(("id", [len(sid), set(sid) <= set("0123456789abcdef")]))
        await preview(stage, 760 + index, f"nobody {index}", f"p{index}")


@scenario
async def two_sockets_with_one_id(stage: Stage) -> None:
    """The newer socket receives news of what is queued from then on."""
    older = await stage.join("a")
    await stage.run(numbers(770), prompt_id="before")
    newer = await stage.join("a")
    await stage.run(numbers(770, second=1), prompt_id="after")
    stage.told.append(("two", [older is newer, len(older.events) > 0]))


@scenario
async def closed_in_many_ways(stage: Stage) -> None:
    """By the client with a code, with none; by the server for a message that is too long."""
    for name, code in (("plain", 1000), ("own", 4001), ("away", 1001)):
        client = await stage.join(name)
        await client.socket.close(code=code)
        stage.told.append(("closed", [name, client.socket.close_code]))
    client = await stage.join("long")
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        await client.socket.send_str("x" * (5 * 1024 * 1024))
    message = await client.socket.receive(timeout=30)
    stage.told.append(("too long", [message.type is not aiohttp.WSMsgType.TEXT]))
    await client.socket.close()
    await stage.join("a")
    await stage.run(numbers(775))


@scenario
async def back_when_all_is_over(stage: Stage) -> None:
    """A client that comes back after the end is told nothing of it; nor is another one in the middle."""
    client = await stage.join("a")
    found = await stage.queue(shown("ParityWait", value=780, path=stage.gate("b"), deaf=True))
    await client.until("executing", node="1")
    other = await stage.join("b")
    await client.socket.close()
    await other.socket.ping()
    stage.open("b")
    await stage.finish(found)
    await stage.idle()
    await stage.join("a")
    await stage.run(numbers(781), prompt_id="next")


@scenario
async def back_between_two_prompts(stage: Stage) -> None:
    """Of two prompts of one client, it comes back while the second waits for its turn, and hears all of that."""
    client = await stage.join("a")
    first = await stage.queue(shown("ParityWait", value=785, path=stage.gate("f"), deaf=True), prompt_id="first")
    await client.until("executing", node="1")
    second = await stage.queue(numbers(786), prompt_id="second")
    await client.socket.close()
    again = await stage.join("a")
    await again.until("executing", node="1")
    stage.open("f")
    await again.until("executing", node=None, prompt_id=second)
    for found in (first, second):
        await stage.finish(found)


@scenario
async def coroutines_as_hooks(stage: Stage) -> None:
    """Validators, change tokens and lazy checks that are coroutines, in both schemas."""
    await stage.join("a")
    for value in (1, 2, 3, 4, 13):
        await stage.run(shown("ParityAsyncHooks", value=value, token="same"), prompt_id=f"newer {value}")
    for token in ("same", "other", "nan", "raise"):
        for turn in "12":
            await stage.run(shown("ParityAsyncHooks", value=7, token=token), prompt_id=f"{token} {turn}")
    for value in (1, 1, 2, 3, 4, 4):
        await stage.run(shown("ParityAsyncHooks1", value=value), prompt_id=f"older {value}")
    for second in (False, True):
        graph: dict[str, Any] = {
            "1": {"class_type": "ParityNumber", "inputs": {"value": 790}},
            "2": {"class_type": "ParityNumber", "inputs": {"value": 791}},
            "3": {"class_type": "ParityAsyncLazy", "inputs": {"a": ["1", 0], "b": ["2", 0], "second": second}},
            "4": {"class_type": "ParityShow", "inputs": {"value": ["3", 0]}},
        }
        await stage.run(graph, prompt_id=f"lazy {second}")


@scenario
async def kept_and_dropped(stage: Stage) -> None:
    """Several graphs in turns: which of them are still cached when they come again."""
    await stage.join("a")
    for turn, number in enumerate((0, 1, 0, 2, 3, 0, 1, 1, 4, 0, 4)):
        await stage.run(shown("ParityNumber", value=800 + number), prompt_id=f"{turn}: {number}")
    for turn, number in enumerate((5, 6, 5)):
        await stage.run(numbers(800 + number), prompt_id=f"larger {turn}: {number}")


@scenario
async def needed_and_forgotten(stage: Stage) -> None:
    """Equal nodes side by side and one after another, and what is shown on the way to others."""
    await stage.join("a")
    b = Builder()
    b("ParityShow", value=b("ParityAdd", a=b("ParityNumber", value=840), b=b("ParityNumber", value=840)))
    await stage.run(b.graph, prompt_id="side by side")
    b = Builder()
    first = b("ParityShow", value=b("ParityNumber", value=841))
    second = b("ParityShow", value=b("ParityAdd", a=first, b=b("ParityNumber", value=841)))
    b("ParityShow", value=b("ParityAdd", a=second, b=b("ParityNumber", value=841)))
    for name in ("one after another", "again"):
        await stage.run(b.graph, prompt_id=name)
    for value in (842, 843):
        for name in ("shown and expanded", "and again", "badly"):
            graph = {"1": {"class_type": "ParityShowAndExpand", "inputs": {"value": value, "well": name != "badly"}}}
            await stage.run(graph, prompt_id=f"{name} {value}")


@scenario
async def places_in_the_history(stage: Stage) -> None:
    """A record under a known id keeps the former one's place; pages begin where they are told to."""
    await stage.join("a")
    await stage.post("/history", {"clear": True})
    for number, name in enumerate(("one", "two", "three", "one")):
        await stage.run(shown("ParityNumber", value=820 + number), prompt_id=name)
    for query in ("", "?max_items=2", "?max_items=0&offset=1", "?max_items=-3&offset=0", "?offset=1", "?max_items=9"):
        async with stage.session.get(f"/history{query}") as answer:
            stage.told.append((f"page {query}", list(await answer.json())))
