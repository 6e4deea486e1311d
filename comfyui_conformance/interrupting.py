"""Checks of interrupts, for one prompt and for any running prompt."""

from __future__ import annotations

from comfyui_conformance.model import add, check
from comfyui_conformance.probe import PREFIX, Probe, picture
from discomfort._json import JsonObject

_SOURCE = "server.py: post_interrupt"
_NODES = ("EmptyImage", "PreviewImage", "ImageQuantize")


def _interrupted(server: Probe, record: JsonObject) -> None:
    status = record["status"]
    server.same("status", (status["status_str"], status["completed"]), ("error", False))
    kind, data = status["messages"][-1]
    server.same("last message", kind, "execution_interrupted")
    server.keys("its data", data, {"prompt_id", "node_id", "node_type", "executed", "timestamp"})


@check(_SOURCE, nodes=_NODES)
async def by_id(server: Probe) -> None:
    """The running prompt ends, and its record has the status error and the node at which it was interrupted."""
    async with server.busy() as running:
        answer = await server.post("/interrupt", {"prompt_id": running})
        server.same("status and body", (answer.status, answer.body), (200, b""))
        _interrupted(server, await server.record(running))


@check(_SOURCE, nodes=_NODES)
async def waiting_prompt(server: Probe) -> None:
    """The id of a pending prompt, or an unknown one, interrupts nothing."""
    async with server.busy() as running:
        waiting = await server.queued(picture())
        for prompt_id in (waiting, f"{PREFIX}-none"):
            answer = await server.post("/interrupt", {"prompt_id": prompt_id})
            server.same("status", answer.status, 200)
        await server.still_runs(running)
        await server.stop(running)
        record = await server.record(waiting)
        server.same("end of the prompt that waited", record["status"]["status_str"], "success")


@check(_SOURCE, nodes=_NODES)
async def next_prompt_is_unharmed(server: Probe) -> None:
    """The prompt after an interrupted one runs to its end."""
    async with server.busy() as running:
        after = await server.queued(picture())
        await server.post("/interrupt", {"prompt_id": running})
        record = await server.record(after)
        server.same("its end", record["status"]["status_str"], "success")


def _whatever_runs(name: str, body: bytes) -> None:
    async def run(server: Probe) -> None:
        async with server.busy() as running:
            answer = await server.post("/interrupt", data=body)
            server.same("status and body", (answer.status, answer.body), (200, b""))
            _interrupted(server, await server.record(running))

    expects = f"An interrupt with the body {body.decode()!r} ends any running prompt."
    add("interrupting", name, expects, _SOURCE, run, exclusive=True, nodes=_NODES)


_whatever_runs("empty_body", b"")
_whatever_runs("empty_object", b"{}")
_whatever_runs("malformed_body", b"{nope")
_whatever_runs("empty_id", b'{"prompt_id": ""}')


@check(_SOURCE, exclusive=True, nodes=["EmptyImage", "PreviewImage"])
async def while_idle(server: Probe) -> None:
    """If nothing is running, an interrupt has no effect, not even on the next prompt."""
    await server.idle()
    server.same("status", (await server.post("/interrupt", {})).status, 200)
    record = await server.run(picture())
    server.same("end of the next prompt", record["status"]["status_str"], "success")
