"""Routes for prompts: submit, queue, interrupt, history, definitions, and the socket."""

from __future__ import annotations

import json
import logging
import time
import uuid

from aiohttp import web

from comfyui_emulator.execution.engine import RunRequest
from comfyui_emulator.execution.history import History
from comfyui_emulator.execution.queue import SENSITIVE, PromptQueue
from comfyui_emulator.execution.validation import error_object, validate
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.runtime import using
from comfyui_emulator.server import of

log = logging.getLogger("comfyui_emulator")

routes = web.RouteTableDef()


@routes.get("/ws")
async def socket(request: web.Request) -> web.StreamResponse:
    """The event stream of one client."""
    emulator = of(request)
    sid = request.rel_url.query.get("clientId") or uuid.uuid4().hex
    greetings: list[tuple[str, JsonObject]] = [("status", {"status": emulator.queue_info(), "sid": sid})]
    running, engine = emulator.queue.running, emulator.engine
    if running and engine and engine.current_node and running.request.extra_data.get("client_id") == sid:
        greetings.append(("executing", {"node": engine.current_node}))
    return await emulator.hub.serve(request, sid, greetings)


@routes.get("/prompt")
async def queue_info(request: web.Request) -> web.Response:
    """The number of prompts in the queue."""
    return web.json_response(of(request).queue_info())


@routes.post("/prompt")
async def submit(request: web.Request) -> web.Response:
    """Validate and queue a prompt."""
    emulator = of(request)
    data = await request.json()
    if "number" in data:
        number = float(data["number"])
    else:
        number = emulator.queue.next_number()
        if isinstance(data, dict) and data.get("front"):
            number = -number
    if "prompt" not in data:
        error = error_object("no_prompt", "No prompt provided", "No prompt provided")
        return web.json_response({"error": error, "node_errors": {}}, status=400)
    prompt_id = data.get("prompt_id")
    if prompt_id is None:
        prompt_id = str(uuid.uuid4())
    elif not is_canonical_uuid(prompt_id):
        return web.json_response({"error": _BAD_ID, "node_errors": {}}, status=400)
    problem = client_problem(data)
    if problem is not None:
        return web.json_response({"error": problem, "node_errors": {}}, status=400)
    registry = await emulator.nodes()
    prompt = emulator.replacements.apply(data["prompt"], registry)
    with using(emulator.context):
        outcome = await validate(prompt, registry, data.get("partial_execution_targets"))
    if outcome.error is not None:
        log.warning("invalid prompt: %s", outcome.error["type"])
        return web.json_response({"error": outcome.error, "node_errors": outcome.node_errors}, status=400)
    extra, sensitive = completed_extra_data(data, request.headers.get("Comfy-Usage-Source"))
    emulator.queue.put(number, RunRequest(prompt_id, prompt, extra, outcome.outputs, sensitive))
    return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": outcome.node_errors})


def is_canonical_uuid(value: object) -> bool:
    """Whether ``value`` is a UUID in lower case with hyphens; its version does not matter."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


_BAD_ID = error_object(
    "invalid_prompt_id",
    "prompt_id must be a valid UUID",
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
)
"""The answer to an id of another form. ComfyUI before 0.25 takes every id."""


def completed_extra_data(data: JsonObject, usage_source: str | None) -> tuple[JsonObject, JsonObject]:
    """The prompt's ``extra_data`` as it is listed, and the keys that only nodes see.

    The server adds ``create_time`` (since 0.3.69) and the source that the header names (0.25), and keeps the keys of
    accounts apart (0.6).
    """
    extra = dict(data.get("extra_data") or {})
    if "client_id" in data:
        extra["client_id"] = data["client_id"]
    if usage_source:
        extra.setdefault("comfy_usage_source", usage_source)
    sensitive = {key: extra.pop(key) for key in SENSITIVE if key in extra}
    extra["create_time"] = int(time.time() * 1000)
    return extra, sensitive


def client_problem(data: JsonObject) -> JsonObject | None:
    """The reason to refuse ids or extra data of a wrong type, on which ComfyUI fails at once or later."""
    client = data.get("client_id")
    if isinstance(client, list | dict):
        return error_object("invalid_prompt", "client_id must be a string", f"received {type(client).__name__}")
    extra = data.get("extra_data")
    if extra is not None and not isinstance(extra, dict):
        return error_object("invalid_prompt", "extra_data must be an object", f"received {type(extra).__name__}")
    if isinstance(extra, dict) and isinstance(extra.get("client_id"), list | dict):
        return error_object("invalid_prompt", "client_id must be a string", "in extra_data")
    return None


@routes.get("/queue")
async def queue(request: web.Request) -> web.Response:
    """The running and the pending prompts."""
    running, pending = of(request).queue.listing()
    return web.json_response({"queue_running": running, "queue_pending": pending})


@routes.post("/queue")
async def change_queue(request: web.Request) -> web.Response:
    """Remove pending prompts: all, or by id."""
    return await _drop(request, of(request).queue)


@routes.post("/interrupt")
async def interrupt(request: web.Request) -> web.Response:
    """Interrupt the running prompt; with an id, only if it has that id."""
    emulator = of(request)
    try:
        data = await request.json()
    except ValueError:
        data = {}
    wanted = data.get("prompt_id")
    running = emulator.queue.running
    if not wanted or (running is not None and running.prompt_id == wanted):
        log.info("interrupting %s", wanted or "the running prompt")
        emulator.interrupt()
    return web.Response(status=200)


@routes.post("/free")
async def free(request: web.Request) -> web.Response:
    """Ask the worker to drop cached results and the models on the simulated device."""
    data = await request.json()
    for name in ("unload_models", "free_memory"):
        if data.get(name, False):
            of(request).queue.set_flag(name, value=True)
    return web.Response(status=200)


@routes.get("/history")
async def history(request: web.Request) -> web.Response:
    """Records of finished prompts, in the order in which they finished."""
    query = request.rel_url.query
    limit = int(query["max_items"]) if "max_items" in query else None
    offset = int(query["offset"]) if "offset" in query else -1
    return web.json_response(text=of(request).queue.pages(limit, offset))


@routes.get("/history/{prompt_id}")
async def record(request: web.Request) -> web.Response:
    """One record under its id, or an empty object."""
    return web.json_response(text=of(request).queue.record(request.match_info["prompt_id"]))


@routes.post("/history")
async def change_history(request: web.Request) -> web.Response:
    """Delete records: all, or by id."""
    return await _drop(request, of(request).queue.history)


async def _drop(request: web.Request, listed: PromptQueue | History) -> web.Response:
    """Remove the entries that the request names."""
    data = await request.json()
    if "clear" in data and data["clear"]:  # noqa: RUF019 - an empty list is not an error here
        listed.clear()
    if "delete" in data:
        for prompt_id in data["delete"]:
            listed.delete(prompt_id)
    return web.Response(status=200)


@routes.get("/object_info")
async def object_info(request: web.Request) -> web.Response:
    """The definitions of all node types."""
    registry = await of(request).nodes()
    with using(of(request).context):
        text = json.dumps(registry.infos())
    return web.json_response(text=text)


@routes.get("/object_info/{class_type}")
async def node_info(request: web.Request) -> web.Response:
    """The definition of one node type under its name, or an empty object."""
    registry = await of(request).nodes()
    name = request.match_info["class_type"]
    with using(of(request).context):
        return web.json_response({name: registry[name].info()} if name in registry else {})
