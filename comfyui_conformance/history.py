"""Checks of the records of finished prompts."""

from __future__ import annotations

import re

from comfyui_conformance.model import check
from comfyui_conformance.probe import PREFIX, Probe, failing, node, picture

_SOURCE = "execution.py: PromptQueue.get_history"
_BASIC = ("EmptyImage", "PreviewImage")


@check("execution.py: PromptQueue.task_done", nodes=_BASIC)
async def record(server: Probe) -> None:
    """A record has the queue's item, the outputs, the status with its messages, and the nodes' metadata."""
    prompt = picture()
    found = await server.run(prompt, prompt_id=(mine := server.name()), number=5, client_id=PREFIX)
    server.same("keys", sorted(found), ["meta", "outputs", "prompt", "status"])
    server.same("prompt", found["prompt"], [5.0, mine, prompt, {"client_id": PREFIX}, ["2"]])
    (image,) = found["outputs"]["2"]["images"]
    server.same("outputs", list(found["outputs"]), ["2"])
    server.same("subfolder and type of the image", (image["subfolder"], image["type"]), ("", "temp"))
    named = re.fullmatch(r"ComfyUI_temp_[a-z]{5}_\d{5}_\.png", image["filename"])
    server.holds("name of the image", named, "ComfyUI_temp_, five letters, a number", image["filename"])
    meta = {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
    server.same("meta", found["meta"], {"2": meta})


@check("execution.py: PromptExecutor.execute_async", nodes=_BASIC)
async def messages(server: Probe) -> None:
    """The status of a successful run has the messages start, cached and success, with their times."""
    found = await server.run(picture(), prompt_id=(mine := server.name()))
    status = found["status"]
    server.same("status", (status["status_str"], status["completed"]), ("success", True))
    kinds = [kind for kind, _ in status["messages"]]
    server.same("messages", kinds, ["execution_start", "execution_cached", "execution_success"])
    for kind, data in status["messages"]:
        server.same(f"prompt_id of {kind}", data["prompt_id"], mine)
        server.holds(f"timestamp of {kind}", data["timestamp"] > 1e12, "milliseconds since 1970", data["timestamp"])


@check("execution.py: PromptExecutor.handle_execution_error", nodes=["RegexReplace", "PreviewAny"])
async def failure(server: Probe) -> None:
    """A node that raises ends the run with status error and an execution_error that names it."""
    found = await server.run(failing())
    status = found["status"]
    server.same("status", (status["status_str"], status["completed"]), ("error", False))
    kind, data = status["messages"][-1]
    server.same("last message", kind, "execution_error")
    names = {"prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type", "traceback"}
    server.keys("its data", data, names | {"current_inputs", "current_outputs", "timestamp"})
    server.same("node", (data["node_id"], data["node_type"]), ("1", "RegexReplace"))
    server.same("exception_message ends in a newline", data["exception_message"][-1:], "\n")
    server.same("value of an input", data["current_inputs"]["regex_pattern"], ["("])
    server.same("outputs", found["outputs"], {})


@check(_SOURCE)
async def unknown(server: Probe) -> None:
    """An unknown id returns an empty object with 200."""
    server.same("body", await server.read(f"/history/{PREFIX}-none"), {})


@check(_SOURCE, nodes=_BASIC)
async def completion_order(server: Probe) -> None:
    """Records are listed in the order in which prompts finished."""
    ids = [await server.queued(picture()) for _ in range(3)]
    for prompt_id in ids:
        await server.record(prompt_id)
    found = await server.read("/history")
    server.same("order", [prompt_id for prompt_id in found if prompt_id in ids], ids)


@check(_SOURCE, nodes=_BASIC)
async def pages(server: Probe) -> None:
    """max_items alone returns the latest records, with offset those from there on; zero or less returns none."""
    for prompt_id in [await server.queued(picture()) for _ in range(3)]:
        await server.record(prompt_id)
    known = list(await server.read("/history"))
    cases = {
        "max_items=2": known[-2:],
        "max_items=1&offset=1": known[1:2],
        "max_items=2&offset=0": known[:2],
        "offset=1": known[1:],
        f"offset={len(known)}": [],
        "max_items=0": [],
        f"max_items={len(known) + 5}&offset=0": known,
    }
    for query, expected in cases.items():
        found = list(await server.read(f"/history?{query}"))
        if list(await server.read("/history")) == known:
            server.same(query, found, expected)
    server.same("status of max_items=x", (await server.get("/history?max_items=x")).status, 500)


@check("server.py: post_history", nodes=_BASIC)
async def delete(server: Probe) -> None:
    """A deleted record is gone and the others stay; unknown ids are ignored."""
    gone, kept = [await server.queued(picture()) for _ in range(2)]
    await server.record(gone)
    await server.record(kept)
    answer = await server.post("/history", {"delete": [gone, "none"]})
    server.same("status and body", (answer.status, answer.body), (200, b""))
    server.same("the deleted", await server.read(f"/history/{gone}"), {})
    server.same("the other", list(await server.read(f"/history/{kept}")), [kept])


@check("server.py: post_history", exclusive=True, nodes=_BASIC)
async def clear(server: Probe) -> None:
    """Clearing removes every record."""
    await server.run(picture())
    server.same("status", (await server.post("/history", {"clear": True})).status, 200)
    server.same("history", await server.read("/history"), {})


@check("execution.py: execute", nodes=_BASIC)
async def cached_outputs(server: Probe) -> None:
    """Repeating a prompt runs nothing, but its record has the outputs."""
    prompt = picture()
    first = await server.run(prompt)
    again = await server.run(prompt)
    cached = next(data for kind, data in again["status"]["messages"] if kind == "execution_cached")
    server.same("cached nodes", sorted(cached["nodes"]), ["1", "2"])
    server.same("outputs", again["outputs"], first["outputs"])


@check("comfy_execution/caching.py", nodes=_BASIC)
async def cache_ignores_ids(server: Probe) -> None:
    """The cache does not depend on the nodes' ids."""
    prompt = picture()
    first = await server.run(prompt)
    renamed = {"a": prompt["1"], "b": node("PreviewImage", images=["a", 0])}
    again = await server.run(renamed)
    server.same("outputs", again["outputs"].get("b"), first["outputs"]["2"])


@check("execution.py: execute", nodes=["PrimitiveInt", "PreviewAny"])
async def texts(server: Probe) -> None:
    """A number is shown as Python formats it."""
    found = await server.run({"1": node("PrimitiveInt", value=42), "2": node("PreviewAny", source=["1", 0])})
    server.same("outputs", found["outputs"], {"2": {"text": ["42"]}})
