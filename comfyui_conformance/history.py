"""Checks of the records of finished prompts."""

from __future__ import annotations

import re
from typing import Any

from comfyui_conformance.model import Skip, check
from comfyui_conformance.probe import PREFIX, Probe, failing, node, picture
from discomfort._json import JsonObject

_SOURCE = "execution.py: PromptQueue.get_history"
_BASIC = ("EmptyImage", "PreviewImage")


@check("execution.py: PromptQueue.task_done", nodes=_BASIC)
async def record(server: Probe) -> None:
    """A record has the queue's item, the outputs, the status with its messages, and the nodes' metadata."""
    prompt = picture()
    found = await server.run(prompt, prompt_id=(mine := server.new_id()), number=5, client_id=PREFIX)
    server.keys("the record", found, {"meta", "outputs", "prompt", "status"})
    server.has("prompt", found["prompt"], [5.0, mine, prompt, {"client_id": PREFIX}, ["2"]])
    (image,) = found["outputs"]["2"]["images"]
    server.same("outputs", list(found["outputs"]), ["2"])
    server.same("subfolder and type of the image", (image["subfolder"], image["type"]), ("", "temp"))
    named = re.fullmatch(r"ComfyUI_temp_[a-z]{5}_\d{5}_\.png", image["filename"])
    server.holds("name of the image", named, "ComfyUI_temp_, five letters, a number", image["filename"])
    meta = {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
    server.has("meta", found["meta"], {"2": meta})


@check("execution.py: PromptExecutor.execute_async", nodes=_BASIC)
async def messages(server: Probe) -> None:
    """The status of a successful run has the messages start, cached and success, with their times."""
    found = await server.run(picture(), prompt_id=(mine := server.new_id()))
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


def _files(record: JsonObject) -> dict[str, list[str]]:
    """The names of the pictures in a record, by node."""
    return {key: [image["filename"] for image in value["images"]] for key, value in record["outputs"].items()}


def _needs_cache(server: Probe) -> None:
    if server.cache == "none":
        raise Skip("the server keeps no results (--cache-none)")


@check("execution.py: execute", nodes=_BASIC)
async def cached_outputs(server: Probe) -> None:
    """Repeating a prompt does not run its output again, but its record has it."""
    _needs_cache(server)
    prompt = picture()
    first = await server.run(prompt)
    again = await server.run(prompt)
    cached = next(data for kind, data in again["status"]["messages"] if kind == "execution_cached")
    # Where memory is short, the output is kept longer than what it is made from.
    kept = ["2"] if server.cache == "ram" else ["1", "2"]
    server.same("cached nodes", [name for name in kept if name in cached["nodes"]], kept)
    server.same("outputs", _files(again), _files(first))


@check("comfy_execution/caching.py", nodes=_BASIC)
async def cache_ignores_ids(server: Probe) -> None:
    """The cache does not depend on the nodes' ids."""
    _needs_cache(server)
    prompt = picture()
    first = await server.run(prompt)
    again = await server.run({"a": prompt["1"], "b": node("PreviewImage", images=["a", 0])})
    server.same("outputs", _files(again).get("b"), _files(first)["2"])


@check("comfy_execution/caching.py", nodes=_BASIC, before="ram-pressure")
async def cache_of_one_prompt(server: Probe) -> None:
    """Only the results of the last prompt are kept: after another one, a prompt runs again."""
    if server.cache != "classic":
        raise Skip("the server keeps results in another way than by default")
    prompt = picture()
    first = await server.run(prompt)
    await server.run(picture())
    again = await server.run(prompt)
    server.holds("files", _files(again) != _files(first), "new ones", _files(again))


async def _repeated_in_part(server: Probe) -> list[str]:
    """The nodes with outputs in the record of a prompt of which only one output is repeated."""
    _needs_cache(server)
    prompt = picture()
    prompt["3"] = node("PreviewImage", images=["1", 0])
    await server.run(prompt)
    record = await server.run(prompt, partial_execution_targets=["3"])
    return sorted(record["outputs"])


@check("execution.py: PromptExecutor.execute_async", nodes=_BASIC, since="reached-outputs")
async def reached_outputs(server: Probe) -> None:
    """A record has no outputs that are cached but were not requested."""
    server.same("nodes with outputs", await _repeated_in_part(server), ["3"])


@check("execution.py: PromptExecutor.execute_async", nodes=_BASIC, before="reached-outputs")
async def cached_outputs_of_all(server: Probe) -> None:
    """A record has the outputs of all nodes that are cached, whether they were asked for or not."""
    server.same("nodes with outputs", await _repeated_in_part(server), ["2", "3"])


async def _extra_data(server: Probe, **options: Any) -> JsonObject:
    """The extra data in the record of a small prompt."""
    mine = server.own(server.new_id())
    body = {"prompt": picture(), "prompt_id": mine, "extra_data": {"create_time": 1, "note": PREFIX}}
    await server.post("/prompt", body, **options)
    return dict((await server.record(mine))["prompt"][3])


@check("server.py: post_prompt", nodes=_BASIC, since="create-time")
async def create_time(server: Probe) -> None:
    """The server writes the time of submission, in milliseconds, into extra_data, whatever the client wrote there."""
    extra = await _extra_data(server)
    server.has("the rest", extra, {"note": PREFIX})
    made = extra.get("create_time")
    server.holds("create_time", isinstance(made, int) and made > 1e12, "milliseconds since 1970", made)


@check("server.py: post_prompt", nodes=_BASIC, before="create-time")
async def no_create_time(server: Probe) -> None:
    """The server adds nothing to extra_data."""
    server.same("extra_data", await _extra_data(server), {"create_time": 1, "note": PREFIX})


@check("server.py: post_prompt", nodes=_BASIC, since="usage-source")
async def usage_source(server: Probe) -> None:
    """The header Comfy-Usage-Source is noted in extra_data."""
    extra = await _extra_data(server, headers={"Comfy-Usage-Source": PREFIX})
    server.has("extra_data", extra, {"comfy_usage_source": PREFIX})


@check("server.py: post_prompt", nodes=_BASIC, before="usage-source")
async def no_usage_source(server: Probe) -> None:
    """The header Comfy-Usage-Source is ignored."""
    extra = await _extra_data(server, headers={"Comfy-Usage-Source": PREFIX})
    server.same("comfy_usage_source", extra.get("comfy_usage_source"), None)


@check("execution.py: execute", nodes=["PrimitiveInt", "PreviewAny"])
async def texts(server: Probe) -> None:
    """A number is shown as Python formats it."""
    found = await server.run({"1": node("PrimitiveInt", value=42), "2": node("PreviewAny", source=["1", 0])})
    server.has("outputs", found["outputs"], {"2": {"text": ["42"]}})
