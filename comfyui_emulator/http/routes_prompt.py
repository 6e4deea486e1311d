"""Routes for prompts: submit, queue, interrupt, history, definitions, and the socket."""

from __future__ import annotations

import json
import logging
import uuid

from aiohttp import web

from comfyui_emulator.execution.engine import RunRequest
from comfyui_emulator.execution.history import History
from comfyui_emulator.execution.queue import PromptQueue
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
    prompt = data["prompt"]
    prompt_id = str(data.get("prompt_id", uuid.uuid4()))
    targets = data.get("partial_execution_targets")
    with using(emulator.context):
        outcome = await validate(prompt, await of(request).nodes(), targets)
    if outcome.error is not None:
        log.warning("invalid prompt: %s", outcome.error["type"])
        return web.json_response({"error": outcome.error, "node_errors": outcome.node_errors}, status=400)
    problem = client_problem(data)
    if problem is not None:
        return web.json_response({"error": problem, "node_errors": {}}, status=400)
    extra = dict(data.get("extra_data") or {})
    if "client_id" in data:
        extra["client_id"] = data["client_id"]
    emulator.queue.put(number, RunRequest(prompt_id, prompt, extra, outcome.outputs))
    return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": outcome.node_errors})


def client_problem(data: JsonObject) -> JsonObject | None:
    """The reason to refuse ids or extra data of a wrong type, which ComfyUI accepts and then fails on."""
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
    """Ask the worker to drop cached results (there are no models here)."""
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
    if "clear" in data and data["clear"]:  # noqa: RUF019 - an empty list is no error here
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
