"""The socket is a hint: however it fails, every run ends with its own result."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from aiohttp import web
from contract.graphs import Recorder, gate_prompt, record_of, show_prompt, texts_of
from matrix.test_poison import attached, fake  # noqa: F401 - fixtures
from matrix.wire import Wire
from unit.client.fake_comfy import FakeComfy, Job, succeed, tiny_prompt

from discomfort import ComfyConnector
from discomfort.progress import Done


async def ends(connector: ComfyConnector, value: int) -> bool:
    """Whether a run ends well, in bounded time."""
    async with asyncio.timeout(30):
        return texts_of(await connector.run_workflow(show_prompt(value), False)) == [str(value)]


async def test_socket_dropped_mid_run(shared: ComfyConnector, gate: Path) -> None:
    """The poll finds the end; the next socket has a fresh id and hears again."""
    async with (
        Wire(shared.server_address) as wire,
        await ComfyConnector.attach(wire.url, browser="lazy") as connector,
    ):
        before, events = connector.client_id, Recorder()
        run = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
        await events.running()
        wire.cut()
        gate.touch()
        async with asyncio.timeout(30):
            assert record_of(await run)["status"]["completed"] is True
        assert events.events[-1] == Done(events.events[0].prompt_id, success=True)
        await wire.sockets(2)
        later = Recorder()
        await connector.run_workflow(show_prompt(1), False, on_progress=later)
        assert await later.running()
        assert connector.client_id != before


async def test_socket_dropped_again_and_again(shared: ComfyConnector) -> None:
    """Cut at every tenth of two hundred runs: all are right, no client id is used twice."""
    ids = set()
    async with (
        Wire(shared.server_address) as wire,
        await ComfyConnector.attach(wire.url, browser="lazy") as connector,
    ):
        async with asyncio.timeout(60):
            for number in range(20):
                work = [connector.run_workflow(show_prompt(7000 + number * 10 + i), False) for i in range(10)]
                ids.add(connector.client_id)
                tasks = [asyncio.create_task(run) for run in work]
                await asyncio.sleep(0)
                wire.cut()
                results = [texts_of(history) for history in await asyncio.gather(*tasks)]
                assert results == [[str(7000 + number * 10 + i)] for i in range(10)]
    assert len(ids) >= 2


async def test_socket_half_open(shared: ComfyConnector, gate: Path) -> None:
    """Nothing comes through, and nothing says so: runs end by the poll, and a shutdown does not wait for it."""
    async with Wire(shared.server_address) as wire:
        connector = await ComfyConnector.attach(wire.url, browser="lazy")
        events = Recorder()
        run = asyncio.create_task(connector.run_workflow(gate_prompt(gate), False, on_progress=events))
        await events.running()
        wire.freeze()
        gate.touch()
        async with asyncio.timeout(30):
            assert record_of(await run)["status"]["completed"] is True
        assert await ends(connector, 2)
        async with asyncio.timeout(30):
            await connector.kill_api()


async def test_socket_refused_for_good(shared: ComfyConnector, gate: Path) -> None:
    """A way on which no socket comes about any more: runs go on, without progress."""
    async with (
        Wire(shared.server_address) as wire,
        await ComfyConnector.attach(wire.url, browser="lazy") as connector,
    ):
        wire.accept_sockets = False
        wire.cut()
        assert [await ends(connector, number) for number in range(3)] == [True] * 3


@pytest.mark.parametrize("moment", ["before-success", "before-record", "before-null", "after-null"])
async def test_socket_dropped_at_the_end(attached: ComfyConnector, fake: FakeComfy, moment: str) -> None:  # noqa: F811
    """Dropped just as the run ends, before or after each of its last messages."""

    async def script(job: Job) -> None:
        await job.start()
        await job.nodes()
        if moment == "before-success":
            await fake.drop_sockets()
        await job.tell("execution_success")
        if moment == "before-record":
            await fake.drop_sockets()
        job.record()
        if moment == "before-null":
            await fake.drop_sockets()
        await job.tell("executing", node=None)
        if moment == "after-null":
            await fake.drop_sockets()

    fake.script = script
    async with asyncio.timeout(30):
        history = await attached.run_workflow(tiny_prompt(), False)
    assert record_of(history)["status"]["completed"] is True


async def test_socket_brings_garbage(
    attached: ComfyConnector,  # noqa: F811
    fake: FakeComfy,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Frames that are broken, unknown, huge, deep, or of the wrong types change nothing and cause no warning."""
    deep = "[" * 100_000 + "]" * 100_000
    frames: list[str | bytes] = [
        "", "null", "[]", '"text"', "{", "{}", '{"type": 5}', '{"type": "executing"}',
        '{"type": "executing", "data": 7}',
        '{"type": "executing", "data": {"node": {}, "prompt_id": []}}', '{"type": "logs", "data": {"entries": []}}',
        '{"type": "from_the_future", "data": {"prompt_id": "P"}}', deep, "\ud7ff", "x" * 3_000_000,
        b"", b"\0", b"\0\0\0\x01", b"\0\0\0\x09junk", b"\0\0\0\x04\xff\xff\xff\xff", b"\0\0\0\x03\0\0\0\xffx",
        bytes(2_000_000),
    ]  # fmt: skip
    bad_fields = [
        ("executing", {"node": 5}), ("executing", {"node": []}), ("progress", {"value": "a", "max": None}),
        ("progress_state", {"nodes": 3}), ("progress_state", {"nodes": {"1": None}}), ("executed", {"node": "404"}),
        ("execution_cached", {"nodes": "12"}), ("executed", {"node": "2", "output": 5}),
    ]  # fmt: skip

    async def noisy(job: Job) -> None:
        await job.start()
        for frame in frames:
            await fake.send(job.client_id, frame)
        for kind, data in bad_fields:
            message = {"type": kind, "data": {"prompt_id": job.prompt_id, **data}}
            await fake.send(job.client_id, json.dumps(message))
        await job.nodes()
        await job.succeed()

    fake.script = noisy
    events = Recorder()
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(30):
            history = await attached.run_workflow(tiny_prompt(), False, on_progress=events)
    assert record_of(history)["status"]["completed"] is True
    assert events.events[-1].success is True  # type: ignore[union-attr]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_socket_brings_messages_of_others(attached: ComfyConnector, fake: FakeComfy) -> None:  # noqa: F811
    """Ends and errors of other prompts end nothing of ours and are not reported."""

    async def foreign(job: Job) -> None:
        await job.start()
        for kind, data in (
            ("execution_start", {}), ("executing", {"node": None}), ("execution_success", {}),
            ("execution_error", {"node_id": "1", "exception_message": "not ours"}), ("execution_interrupted", {}),
        ):  # fmt: skip
            await fake.send(job.client_id, json.dumps({"type": kind, "data": {"prompt_id": "theirs", **data}}))
        await job.nodes()
        await job.succeed()

    fake.script = foreign
    events = Recorder()
    async with asyncio.timeout(30):
        history = await attached.run_workflow(tiny_prompt(), False, on_progress=events)
    assert record_of(history)["status"]["completed"] is True
    assert {event.prompt_id for event in events.events} == set(history)


async def test_socket_brings_messages_out_of_order(attached: ComfyConnector, fake: FakeComfy) -> None:  # noqa: F811
    """The end first, the beginning last, twice: one result, ``Done`` last and once."""

    async def backwards(job: Job) -> None:
        for _ in range(2):
            await job.tell("executing", node=None)
            await job.tell("execution_success")
            await job.tell("executing", node="2")
            await job.tell("execution_start")
        job.record()

    fake.script = backwards
    events = Recorder()
    async with asyncio.timeout(30):
        history = await attached.run_workflow(tiny_prompt(), False, on_progress=events)
    assert record_of(history)["outputs"]
    assert events.of(Done) == [events.events[-1]]


async def test_socket_brings_all_before_post_returns(attached: ComfyConnector, fake: FakeComfy) -> None:  # noqa: F811
    """Every event came before the answer to POST: the run ends at once, its events in order, ``Queued`` first."""

    async def all_first(job: Job) -> web.StreamResponse | None:
        fake.pending[job.prompt_id] = job
        await succeed(job)
        return web.json_response({"prompt_id": job.prompt_id, "number": 0, "node_errors": {}})

    fake.post = all_first
    events = Recorder()
    async with asyncio.timeout(30):
        history = await attached.run_workflow(tiny_prompt(), False, on_progress=events)
    assert record_of(history)["status"]["completed"] is True
    kinds = [type(event).__name__ for event in events.events]
    assert kinds[0] == "Queued"
    assert kinds[1] == "Started"
    assert kinds[-1] == "Done"
