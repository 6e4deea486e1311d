"""Checks of the WebSocket: greeting, features, a run's messages in order, binary frames, and who receives them."""

from __future__ import annotations

import struct

from comfyui_conformance.model import Skip, check
from comfyui_conformance.probe import Probe, Socket, failing, node, picture
from discomfort._json import JsonObject

_SOURCE = "server.py: websocket_handler"
_RUN = "execution.py: PromptExecutor.execute_async"
_BASIC = ("EmptyImage", "PreviewImage")
_SLOW = (*_BASIC, "ImageQuantize")
_TYPES = frozenset({
    "execution_start", "execution_cached", "executing", "executed", "progress", "progress_state",
    "execution_success", "execution_error", "execution_interrupted",
})  # fmt: skip


def _told(messages: list[JsonObject]) -> list[str]:
    """A short form of a run's messages: their types, with the node if they have one. Unknown types are left out."""
    return [
        f"{m['type']} {m['data']['node']}" if m["type"] in ("executing", "executed") else str(m["type"])
        for m in messages
        if m["type"] in _TYPES
    ]


@check(_SOURCE)
async def greeting(server: Probe) -> None:
    """The first message is the status with the client's id."""
    async with server.socket() as socket:
        first = socket.messages[0]
        server.same("type", first["type"], "status")
        server.same("sid", first["data"].get("sid"), socket.sid)
        server.keys("status", first["data"]["status"]["exec_info"], {"queue_remaining"})


@check(_SOURCE)
async def features(server: Probe) -> None:
    """Features that a client declares first are answered with the server's, the same as GET /features."""
    known = await server.read("/features")
    async with server.socket(features={"supports_preview_metadata": True}) as socket:
        answer = await socket.until(lambda m: m["type"] == "feature_flags", "feature_flags")
        server.same("features", answer["data"], known)


@check(_RUN, nodes=_BASIC)
async def sequence(server: Probe) -> None:
    """A run sends start, cached, each node, its UI, success, and last an executing message without a node."""
    async with server.socket() as socket:
        mine = await server.queued(picture(), client_id=socket.sid)
        await socket.ended(mine)
        told = _told(socket.of(mine))
    start = ["execution_start", "execution_cached", "executing 1", "executing 2", "executed 2"]
    server.same("messages", told, [*start, "execution_success", "executing None"])


@check(_RUN, nodes=_BASIC)
async def message_fields(server: Probe) -> None:
    """Each message of a run has the expected fields."""
    async with server.socket() as socket:
        mine = await server.queued(picture(), client_id=socket.sid)
        await socket.ended(mine)
        by_type = {m["type"]: m["data"] for m in reversed(socket.of(mine, states=True))}
    server.keys("execution_start", by_type["execution_start"], {"prompt_id", "timestamp"})
    server.same("nodes of execution_cached", by_type["execution_cached"]["nodes"], [])
    server.has("executing", by_type["executing"], {"node": "1", "display_node": "1", "prompt_id": mine})
    executed = by_type["executed"]
    server.same("node and display_node of executed", (executed["node"], executed["display_node"]), ("2", "2"))
    server.keys("its output", executed["output"], {"images"})
    state = by_type["progress_state"]["nodes"]["1"]
    names = {"value", "max", "state", "node_id", "prompt_id", "display_node_id", "parent_node_id", "real_node_id"}
    server.keys("a node of progress_state", state, names)


@check("comfy_execution/progress.py", nodes=_BASIC)
async def progress_states(server: Probe) -> None:
    """Nodes are reported as running and finished; each message lists all that are not pending."""
    async with server.socket() as socket:
        mine = await server.queued(picture(), client_id=socket.sid)
        await socket.ended(mine)
        states = [
            {name: state["state"] for name, state in m["data"]["nodes"].items()}
            for m in socket.of(mine, states=True) if m["type"] == "progress_state"
        ]  # fmt: skip
    done = {"1": "finished"}
    expected = [{"1": "running"}, done, done | {"2": "running"}, done | {"2": "finished"}]
    server.same("states", states, expected)


async def _repeated(server: Probe, prompt: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """The record of a prompt, and the messages when it is sent again."""
    if server.cache == "none":
        raise Skip("the server keeps no results (--cache-none)")
    first = await server.run(prompt)
    async with server.socket() as socket:
        mine = await server.queued(prompt, client_id=socket.sid)
        await socket.ended(mine)
        return first, socket.of(mine)


@check(_RUN, nodes=_BASIC)
async def cached_sequence(server: Probe) -> None:
    """A cached run sends its outputs and does not execute them."""
    first, messages = await _repeated(server, picture())
    expected = ["execution_start", "execution_cached", "executed 2", "execution_success", "executing None"]
    # Where memory is short, the output is kept longer than what it is made from.
    told = [text for text in _told(messages) if text != "executing 1" or server.cache != "ram"]
    server.same("messages", told, expected)
    shown = next(m["data"]["output"] for m in messages if m["type"] == "executed")
    server.has("output", shown, first["outputs"]["2"])


@check(_RUN, nodes=[*_BASIC, "ImageCropV2"], since="intermediate-outputs")
async def cached_intermediate(server: Probe) -> None:
    """A cached node that shows something but is not an output is executed for the client, and is in the record."""
    prompt = picture()
    prompt["3"] = node("ImageCropV2", image=["1", 0], crop_region={"x": 1, "y": 1, "width": 2, "height": 2})
    prompt["2"]["inputs"]["images"] = ["3", 0]
    first, messages = await _repeated(server, prompt)
    told = _told(messages)
    server.same("executed 3", told.count("executed 3"), 1)
    again = await server.record(messages[0]["data"]["prompt_id"])
    server.has("outputs", again["outputs"], first["outputs"])


@check("execution.py: PromptExecutor.handle_execution_error", nodes=["RegexReplace", "PreviewAny"])
async def failed_sequence(server: Probe) -> None:
    """A node that raises causes execution_error instead of success; later nodes are skipped."""
    async with server.socket() as socket:
        mine = await server.queued(failing(), client_id=socket.sid)
        await socket.ended(mine)
        told = _told(socket.of(mine))
    start = ["execution_start", "execution_cached", "executing 1"]
    server.same("messages", told, [*start, "execution_error", "executing None"])


@check("execution.py: PromptExecutor.handle_execution_error", nodes=_SLOW)
async def interrupted_sequence(server: Probe) -> None:
    """An interrupted run sends execution_interrupted instead of success."""
    async with server.socket() as socket, server.busy(socket) as running:
        await server.still_runs(running)
        await server.stop(running)
        await socket.ended(running)
        told = _told(socket.of(running))
    server.same("last messages", told[-2:], ["execution_interrupted", "executing None"])


@check("server.py: queue_updated", nodes=_BASIC)
async def status_for_all(server: Probe) -> None:
    """All clients get the queue's length without an id, but only the owner gets the messages of a run."""
    async with server.socket() as owner, server.socket() as other:
        mine = await server.queued(picture(), client_id=owner.sid)
        await owner.ended(mine)
        await other.until(lambda m: m["type"] == "status" and "sid" not in m["data"], "a status for all")
        server.same("messages to the other", _told(other.of(mine, states=True)), [])


@check("execution.py: PromptExecutor.add_message", nodes=_BASIC)
async def without_a_client(server: Probe) -> None:
    """For a prompt without a client id, all clients get progress_state, and none gets start, nodes or end."""
    async with server.socket() as socket:
        mine = await server.queued(picture())
        await server.record(mine)
        await socket.until(lambda m: _states(m, mine) == {"1": "finished", "2": "finished"}, "the last progress_state")
        server.same("other messages", _told(socket.of(mine)), [])


def _states(message: JsonObject, prompt_id: str) -> dict[str, str]:
    data = message["data"] if message["type"] == "progress_state" else {}
    return {n: s["state"] for n, s in data["nodes"].items()} if data.get("prompt_id") == prompt_id else {}


@check(_SOURCE, nodes=_SLOW)
async def reconnecting(server: Probe) -> None:
    """A client that reconnects with the same id during a run gets the node without a prompt id, then the rest."""
    async with server.socket() as first, server.busy(first) as running:
        pass
    async with server.socket(first.sid) as second:
        await server.still_runs(running)
        told = await second.until(lambda m: m["type"] == "executing", "the node that runs")
        server.holds("its data", "node" in told["data"], "the node", told["data"])
        server.same("its prompt id", told["data"].get("prompt_id"), None)
        await server.stop(running)
        await second.ended(running)


@check("server.py: send_sync", nodes=["EmptyImage", "GetImageSize", "PreviewAny"])
async def text_frames(server: Probe) -> None:
    """A node's text is sent to all clients as a binary frame of type 3 with the node's id."""
    prompt = {
        "1": picture()["1"],
        "33": node("GetImageSize", image=["1", 0]),
        "2": node("PreviewAny", source=["33", 0]),
    }
    async with server.socket() as owner, server.socket() as other:
        mine = await server.queued(prompt, client_id=owner.sid)
        await owner.ended(mine)
        # By now the other socket has received everything that was sent before.
        await other.until(lambda m: m["type"] == "status" and _is_idle(m), "the end of the queue")
        for who, socket in (("owner", owner), ("other", other)):
            server.same(f"frames to the {who}", _texts(socket), [("33", "width: 8, height: 8\n batch size: 1")])


def _is_idle(message: JsonObject) -> bool:
    return "sid" not in message["data"] and message["data"]["status"]["exec_info"]["queue_remaining"] == 0


def _texts(socket: Socket) -> list[tuple[str, str]]:
    found = []
    for kind, data in socket.frames:
        if kind == 3:
            (length,) = struct.unpack(">I", data[:4])
            found.append((data[4 : 4 + length].decode(), data[4 + length :].decode()))
    return found


@check("custom_nodes/websocket_image_save.py", nodes=["EmptyImage", "SaveImageWebsocket"])
async def image_frames(server: Probe) -> None:
    """A picture sent over the socket is a binary frame of type 1: the format (2 is PNG), then the file."""
    async with server.socket() as socket:
        mine = await server.queued(picture(out="SaveImageWebsocket"), client_id=socket.sid)
        await socket.ended(mine)
        found = [(kind, data[:8]) for kind, data in socket.frames]
    server.same("frames", found, [(1, b"\0\0\0\x02\x89PNG")])


@check("server.py: websocket_handler")
async def nonsense(server: Probe) -> None:
    """A message that is not JSON is ignored."""
    async with server.socket() as socket:
        await socket.ws.send_str("{nope")
        mine = await server.queued(picture(), client_id=socket.sid)
        await socket.ended(mine)
