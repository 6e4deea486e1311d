"""Other people at the same queue: they delete, interrupt, evict, fill. Each run ends with what really happened to it.

Deleted or interrupted by somebody else on both engines: ``contract/test_run_errors.py``; cached runs:
``contract/test_running.py``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from contract.graphs import Recorder, gate_prompt, node, record_of, show_prompt, texts_of
from matrix.conftest import remaining
from matrix.test_poison import attached, fake  # noqa: F401 - fixtures
from matrix.test_server_faults import runs
from unit.client.fake_comfy import FakeComfy, Job, tiny_prompt

from discomfort import ComfyConnector
from discomfort.exceptions import ExecutionInterrupted, PromptLostError, RunTimeout
from discomfort.progress import Cached, NodeStarted


async def test_queue_cleared_by_somebody_else(
    shared: ComfyConnector, stranger: aiohttp.ClientSession, gate: Path
) -> None:
    """Ten of ours are swept off with ``clear``: ten times lost, in bounded time; the running one goes on."""
    running = Recorder()
    first = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=running))
    await running.running()
    waiting = [Recorder() for _ in range(10)]
    tasks = [
        asyncio.create_task(shared.run_workflow(show_prompt(n), False, on_progress=r)) for n, r in enumerate(waiting)
    ]
    for recorder in waiting:
        await recorder.queued()
    async with stranger.post("/queue", json={"clear": True}) as response:
        assert response.status == 200
    async with asyncio.timeout(30):
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {PromptLostError}
    assert [end.prompt_id for end in ends if isinstance(end, PromptLostError)] == [
        r.events[0].prompt_id for r in waiting
    ]
    gate.touch()
    assert record_of(await first)["status"]["completed"] is True


async def test_queue_interrupted_for_everybody(
    shared: ComfyConnector, stranger: aiohttp.ClientSession, gate: Path
) -> None:
    """A global interrupt ends the one that runs, with its node; those behind it run on."""
    events = Recorder()
    first = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    behind = asyncio.create_task(shared.run_workflow(show_prompt(5), False))
    async with stranger.post("/interrupt", data=b"") as response:
        assert response.status == 200
    with pytest.raises(ExecutionInterrupted) as caught:
        async with asyncio.timeout(30):
            await first
    assert caught.value.node_id == "1"
    async with asyncio.timeout(30):
        assert texts_of(await behind) == ["5"]


async def test_queue_record_evicted(attached: ComfyConnector, fake: FakeComfy) -> None:  # noqa: F811
    """The end was announced and the record is gone already: lost, with its id, in bounded time."""

    async def evicted(job: Job) -> None:
        await job.start()
        await job.nodes()
        fake.running.pop(job.prompt_id)
        await job.tell("execution_success")
        await job.tell("executing", node=None)

    fake.script = evicted
    with pytest.raises(PromptLostError, match="evicted"):
        async with asyncio.timeout(30):
            await attached.run_workflow(tiny_prompt(), False)


async def test_queue_history_cleared_meanwhile(
    shared: ComfyConnector, stranger: aiohttp.ClientSession, gate: Path
) -> None:
    """Somebody clears the history while ours runs: what ended before is theirs to lose, ours is not touched."""
    events = Recorder()
    run = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    async with stranger.post("/history", json={"clear": True}) as response:
        assert response.status == 200
    gate.touch()
    async with asyncio.timeout(30):
        assert record_of(await run)["status"]["completed"] is True


async def test_queue_same_prompt_at_once(shared: ComfyConnector) -> None:
    """The same prompt twenty times at once, nineteen of them fully cached: twenty results under twenty ids."""
    prompt = {"1": node("ContractShow", value=4711), "2": node("ContractShow", value=["1", 0])}
    events = Recorder()
    await shared.run_workflow(prompt, False)
    async with asyncio.timeout(30):
        histories = await asyncio.gather(*(shared.run_workflow(prompt, False) for _ in range(20)))
        await shared.run_workflow(prompt, False, on_progress=events)
    assert {texts_of(history, "2")[0] for history in histories} == {"4711"}
    assert len({prompt_id for history in histories for prompt_id in history}) == 20
    assert set(events.of(Cached)[0].node_ids) == {"1", "2"}
    assert events.of(NodeStarted) == []


async def test_queue_full_of_other_peoples_work(
    shared: ComfyConnector, stranger: aiohttp.ClientSession, gate: Path
) -> None:
    """Two hundred prompts of others are before ours: it tells its place, waits its time, and leaves theirs alone."""
    events = Recorder()
    first = asyncio.create_task(shared.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    theirs = []
    for number in range(200):
        async with stranger.post("/prompt", json={"prompt": show_prompt(number)}) as response:
            theirs.append((await response.json())["prompt_id"])
    ours = Recorder()
    with pytest.raises(RunTimeout, match="had not started"):
        async with asyncio.timeout(30):
            await shared.run_workflow(show_prompt(-1), False, on_progress=ours, timeout=1.0)
    assert (await ours.queued()).position == 201
    assert await remaining(shared) == 201
    patient = asyncio.create_task(shared.run_workflow(show_prompt(-2), False))
    gate.touch()
    async with asyncio.timeout(60):
        assert texts_of(await patient) == ["-2"]
        await first
    for prompt_id in theirs:
        async with stranger.get(f"/history/{prompt_id}") as response:
            assert (await response.json())[prompt_id]["status"]["completed"] is True
    assert await runs(shared)
