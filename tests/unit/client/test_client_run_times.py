"""When the server accepted, started and ended a prompt, as far as it tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.client.fake_comfy import FakeComfy, Job, stay_pending, tiny_prompt
from waiting import until

from discomfort.client.comfy import ComfyClient
from discomfort.client.protocol import Message, RunState, accepted_times
from discomfort.client.run_times import RunTimes, accepted_at, seconds
from discomfort.client.runs import PromptRun
from discomfort.exceptions import ExecutionError, ExecutionInterrupted

ACCEPTED, STARTED, ENDED = 1_795_836_592_981, 1_795_836_592_984, 1_795_836_593_409
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["create_time", "timestamp"]), inner),
    max_leaves=8,
)


def timed(end: str = "execution_success", *, accepted: bool = True, gate: asyncio.Event | None = None) -> Any:
    """A run whose messages have times, and whose queue item has one if ``accepted``."""

    async def script(job: Job) -> None:
        if accepted:
            job.extra = {**job.extra, "create_time": ACCEPTED}
        if gate is not None:
            await gate.wait()
        job.server.pending.pop(job.prompt_id)
        job.server.running[job.prompt_id] = job
        await job.tell("execution_start", timestamp=STARTED)
        await job.tell("execution_error", exception_type="ExecutionBlocked", node_id="1")
        job.messages.pop()
        await job.tell(end, timestamp=ENDED, node_id="1", node_type="EmptyImage", exception_type="ValueError")
        job.record(success=end == "execution_success")
        await job.tell("executing", node=None)

    return script


async def run(client: ComfyClient, **arguments: Any) -> tuple[PromptRun, Any]:
    """A run and how it ended."""
    runs: list[PromptRun] = []
    (end,) = await asyncio.gather(client.run(tiny_prompt(), on_run=runs.append, **arguments), return_exceptions=True)
    return runs[0], end


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("execution_success", dict),
        ("execution_error", ExecutionError),
        ("execution_interrupted", ExecutionInterrupted),
    ],
)
@pytest.mark.parametrize("accepted", [True, False])
async def test_times_of_a_run(
    server: FakeComfy, client: ComfyClient, end: str, kind: type[Any], accepted: bool
) -> None:
    """Seconds, however it ends; servers before JOB_TIMES do not tell when they accepted it."""
    server.script = timed(end, accepted=accepted)
    found, result = await run(client)

    assert type(result) is kind
    assert found.times == RunTimes(ACCEPTED / 1000 if accepted else None, STARTED / 1000, ENDED / 1000)


async def test_times_while_it_waits_and_runs(server: FakeComfy, client: ComfyClient) -> None:
    """Each is known as soon as it has passed, not only at the end."""
    gate = asyncio.Event()
    server.script = timed(gate=gate)
    runs: list[PromptRun] = []
    told = asyncio.Event()
    task = asyncio.create_task(
        client.run(tiny_prompt(), on_run=runs.append, on_progress=lambda _: told.set(), prompt_id="p")
    )
    await told.wait()
    await until(lambda: runs[0].times.created is not None)
    assert runs[0].times == RunTimes(ACCEPTED / 1000, None, None)
    gate.set()
    await task
    assert runs[0].times.ended == ENDED / 1000


async def test_times_of_a_prompt_of_somebody_else(server: FakeComfy, client: ComfyClient) -> None:
    """Found in the queue: its item has the first, its record the others."""
    gate = asyncio.Event()
    server.script = timed(gate=gate)
    body = {"prompt": tiny_prompt(), "prompt_id": "theirs", "extra_data": {}}
    server.queue_job(Job(server, 0, body))
    await asyncio.sleep(0)
    runs: list[PromptRun] = []
    task = asyncio.create_task(client.follow("theirs", on_run=runs.append))
    await until(lambda: bool(runs) and runs[0].times.created is not None)
    assert runs[0].times == RunTimes(ACCEPTED / 1000, None, None)
    gate.set()
    await task
    assert runs[0].times == RunTimes(ACCEPTED / 1000, STARTED / 1000, ENDED / 1000)


async def test_times_of_a_deleted_prompt(server: FakeComfy, client: ComfyClient) -> None:
    """It never started, and nobody says when it was deleted."""
    server.script = stay_pending
    runs: list[PromptRun] = []
    task = asyncio.create_task(client.run(tiny_prompt(), on_run=runs.append))
    await server.until_called("/prompt")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert runs[0].times == RunTimes()


@pytest.mark.parametrize(
    ("told", "time"),
    [(1500, 1.5), (1500.0, 1.5), (None, None), (True, None), ("1500", None), (0, None), (-5, None),
     (float("nan"), None), (float("inf"), None), (10**400, None)],
)  # fmt: skip
def test_milliseconds(told: Any, time: float | None) -> None:
    """Only a positive number is a time."""
    assert seconds(told) == time


def test_queue_items_with_five_and_six_fields() -> None:
    """Newer servers keep keys of partner nodes in a sixth field, which some of them show."""
    item = [0, "a", {}, {"create_time": 1500}, ["2"]]
    queue = {"queue_running": [item], "queue_pending": [[*item[:1], "b", *item[2:], {"secret": "x"}], [0, "c", {}, {}]]}
    assert accepted_times(queue) == {"a": 1.5, "b": 1.5}


@given(ANYTHING, ANYTHING)
def test_any_answer_gives_times_or_none(value: Any, other: Any) -> None:
    """Whatever its shape, nothing is raised, and what comes out is a positive number or nothing."""
    times = RunTimes()
    times.note_record({"prompt": value, "status": {"messages": [value, ["execution_start", other]]}})
    told = [accepted_at(value), times.created, times.started, times.ended]
    told += accepted_times({"queue_running": value, "queue_pending": [value, other]}).values()
    assert all(time is None or (isinstance(time, float) and time > 0) for time in told)
    RunState("p", {}, reporting=True).feed(Message("execution_start", {"timestamp": value}, "p"))
