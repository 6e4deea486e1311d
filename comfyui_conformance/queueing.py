"""Checks of the queue: order, listing, deletion. A long run of our own keeps the other prompts pending."""

from __future__ import annotations

from comfyui_conformance.model import Skip, check
from comfyui_conformance.probe import PREFIX, Probe, picture

_NODES = ("EmptyImage", "PreviewImage", "ImageQuantize")


@check("execution.py: PromptQueue.put", nodes=_NODES)
async def order(server: Probe) -> None:
    """The smallest number runs first; front goes ahead of prompts without it, and a later front ahead of an earlier."""
    async with server.busy() as running:
        ids = {
            "last": await server.queued(picture(), number=1e9),
            "plain": await server.queued(picture()),
            "half": await server.queued(picture(), number=0.5),
            "front1": await server.queued(picture(), front=True),
            "front2": await server.queued(picture(), front=True),
            "first": await server.queued(picture(), number=-1e9),
        }
        await server.still_runs(running)
        await server.stop(running)
        for prompt_id in ids.values():
            await server.record(prompt_id)
    names = {prompt_id: name for name, prompt_id in ids.items()}
    ended = [names[prompt_id] for prompt_id in await server.read("/history") if prompt_id in names]
    server.same("order", ended, ["first", "front2", "front1", "half", "plain", "last"])


@check("server.py: get_queue", nodes=_NODES)
async def listing(server: Probe) -> None:
    """Running and pending prompts are listed as [number, id, prompt, extra_data, output ids]."""
    waiting = picture()
    async with server.socket() as owner, server.busy(owner) as running:
        second = await server.queued(waiting, number=77, extra_data={"note": PREFIX})
        count = (await server.read("/prompt"))["exec_info"]["queue_remaining"]
        found = await server.read("/queue")
        await server.still_runs(running)
    server.keys("the queue", found, {"queue_pending", "queue_running"})
    server.holds("queue_remaining", count >= 2, "at least 2", count)
    (first,) = found["queue_running"]
    server.same("id and output ids of the running", (first[1], first[4]), (running, ["out"]))
    server.same("its client", first[3].get("client_id"), owner.sid)
    item = next(item for item in found["queue_pending"] if item[1] == second)
    server.has("the waiting item", item[:5], [77.0, second, waiting, {"note": PREFIX}, ["2"]])


@check("server.py: post_queue", nodes=_NODES)
async def delete(server: Probe) -> None:
    """A deleted pending prompt never runs and has no record; a running one is not affected."""
    async with server.busy() as running:
        gone = await server.queued(picture())
        kept = await server.queued(picture())
        answer = await server.post("/queue", {"delete": [gone, running, "none"]})
        server.same("status and body", (answer.status, answer.body), (200, b""))
        first, pending = await server.listing()
        if not first:
            raise Skip("the server is too fast: the run that should have delayed the others ended")
        server.same("still running", [item[1] for item in first], [running])
        server.same("still waiting", [item[1] for item in pending if item[1] in (gone, kept)], [kept])
        await server.stop(running)
    await server.record(kept)
    server.same("record of the deleted", await server.read(f"/history/{gone}"), {})


@check("server.py: post_queue", exclusive=True, nodes=_NODES)
async def clear(server: Probe) -> None:
    """Clearing removes every pending prompt, but no running one."""
    async with server.busy() as running:
        for _ in range(3):
            await server.queued(picture())
        answer = await server.post("/queue", {"clear": True})
        server.same("status and body", (answer.status, answer.body), (200, b""))
        found = await server.read("/queue")
        await server.still_runs(running)
        counts = [len(found[key]) for key in ("queue_pending", "queue_running")]
        server.same("waiting and running", counts, [0, 1])


@check("execution.py: PromptQueue", nodes=_NODES)
async def one_at_a_time(server: Probe) -> None:
    """There is one worker: only one of several prompts runs at a time."""
    async with server.busy() as running:
        others = [await server.queued(picture()) for _ in range(3)]
        first, pending = await server.listing()
        await server.still_runs(running)
        server.same("running", [item[1] for item in first], [running])
        server.same("waiting", [item[1] for item in pending if item[1] in others], others)


_SECRET = "api_key_comfy_org"  # noqa: S105 - the name of a key, not a secret


async def _waiting_item(server: Probe) -> str:
    """The queue's item of a waiting prompt with a secret, as text."""
    async with server.busy() as running:
        waiting = await server.queued(picture(), extra_data={_SECRET: f"{PREFIX}-secret"})
        items = (await server.listing())[1]
        await server.still_runs(running)
    return str(next(item for item in items if item[1] == waiting))


@check("server.py: get_queue", nodes=_NODES, before="jobs")
async def secrets(server: Probe) -> None:
    """The queue shows the secrets of waiting prompts."""
    item = await _waiting_item(server)
    server.holds("its secret", f"{PREFIX}-secret" in item, "shown", item)


@check("server.py: get_queue", nodes=_NODES, since="jobs")
async def no_secrets(server: Probe) -> None:
    """The queue does not show the secrets of waiting prompts."""
    item = await _waiting_item(server)
    server.holds("its secret", f"{PREFIX}-secret" not in item, "not shown", item)
