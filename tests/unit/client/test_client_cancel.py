"""Timeouts and cancellation: the prompt leaves the server, the caller gets the right error, nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web
from unit.client.fake_comfy import (
    FakeComfy,
    Job,
    own_tasks,
    run_until_interrupted,
    stay_pending,
    succeed,
    tiny_prompt,
)

from discomfort.client import withdraw
from discomfort.client.comfy import ComfyClient
from discomfort.client.runs import Limits
from discomfort.exceptions import PromptLostError, RunTimeout, ServerDiedError
from discomfort.progress import Done, ProgressEvent, Started

TIMEOUT = 4321.5
"""Seconds that never pass; the ``expire`` fixture ends them."""


@pytest.fixture
def expire(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the ``timeout=TIMEOUT`` of the last run pass now."""
    scopes: list[asyncio.Timeout] = []
    real = asyncio.timeout

    def remember(delay: float | None) -> asyncio.Timeout:
        scope = real(delay)
        if delay == TIMEOUT:
            scopes.append(scope)
        return scope

    monkeypatch.setattr(asyncio, "timeout", remember)
    return lambda: scopes[-1].reschedule(asyncio.get_running_loop().time())


class Watch:
    """A progress callback that knows when the prompt started."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []
        self.started = asyncio.Event()

    def __call__(self, event: ProgressEvent) -> None:
        self.events.append(event)
        if isinstance(event, Started):
            self.started.set()


async def start(client: ComfyClient, prompt_id: str = "mine") -> tuple[asyncio.Task[object], Watch]:
    """A run with a timeout that is under way on the server."""
    watch = Watch()
    run = client.run(tiny_prompt(), prompt_id=prompt_id, timeout=TIMEOUT, on_progress=watch)
    task: asyncio.Task[object] = asyncio.create_task(run)
    await asyncio.wait_for(watch.started.wait(), 30)
    return task, watch


async def test_timeout_of_a_running_prompt(server: FakeComfy, client: ComfyClient, expire: Callable[[], None]) -> None:
    """It is interrupted by its id, and nobody else's is."""
    server.script = run_until_interrupted
    other, _ = await start(client, "other")
    task, watch = await start(client)
    expire()
    with pytest.raises(RunTimeout, match="was running") as caught:
        await task

    assert (caught.value.timeout, caught.value.prompt_id) == (TIMEOUT, "mine")
    assert isinstance(caught.value, TimeoutError)
    assert {body["prompt_id"] for body in server.bodies("/interrupt")} == {"mine"}
    assert list(server.running) == ["other"]
    assert watch.events[-1] == Done("mine", success=False)
    server.jobs["other"].interrupted.set()
    await asyncio.gather(other, return_exceptions=True)


async def test_timeout_of_a_pending_prompt(server: FakeComfy, client: ComfyClient, expire: Callable[[], None]) -> None:
    """It is deleted, and nothing is interrupted."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), timeout=TIMEOUT))
    await server.until_called("/queue")
    expire()
    with pytest.raises(RunTimeout, match="had not started"):
        await task

    assert server.pending == {}
    assert server.bodies("/interrupt") == []


@pytest.mark.parametrize("timeout", [0, -1])
async def test_timeout_that_has_passed(server: FakeComfy, client: ComfyClient, timeout: float) -> None:
    """Nothing is sent."""
    with pytest.raises(RunTimeout, match="was not accepted"):
        await client.run(tiny_prompt(), timeout=timeout)

    assert server.bodies("/prompt") == []


async def test_cancelling_a_running_prompt(server: FakeComfy, client: ComfyClient) -> None:
    """CancelledError comes when it is interrupted."""
    server.script = run_until_interrupted
    task = asyncio.create_task(client.run(tiny_prompt(), prompt_id="p"))
    await server.until_called("/prompt")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert server.running == server.pending == {}
    assert client.pending == 0


async def test_an_interrupt_that_is_forgotten_is_sent_again(
    server: FakeComfy, client: ComfyClient, expire: Callable[[], None]
) -> None:
    """The server drops one that arrives between taking and starting a prompt."""
    first = True

    async def forget(request: web.Request) -> web.Response | None:
        nonlocal first
        if request.path == "/interrupt" and first:
            first = False
            return web.Response()
        return None

    server.script, server.fault = run_until_interrupted, forget
    task, _ = await start(client)
    expire()
    with pytest.raises(RunTimeout):
        await task

    assert len(server.bodies("/interrupt")) == 2
    assert server.running == {}


async def test_a_node_that_ignores_the_interrupt_does_not_hold_the_caller(
    server: FakeComfy, client: ComfyClient, expire: Callable[[], None]
) -> None:
    """The prompt runs on until its node ends."""
    release = asyncio.Event()

    async def deaf(job: Job) -> None:
        await job.start()
        await release.wait()
        await job.succeed()

    server.script = deaf
    task, _ = await start(client)
    expire()
    with pytest.raises(RunTimeout):
        await task

    assert list(server.running) == ["mine"]
    release.set()


async def test_a_second_cancellation_does_not_orphan_the_prompt(server: FakeComfy, client: ComfyClient) -> None:
    """Taking it off goes on in the background."""
    release = asyncio.Event()

    async def slow(request: web.Request) -> None:
        if request.method == "POST" and request.path == "/queue":
            await release.wait()

    server.script, server.fault = run_until_interrupted, slow
    task = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    task.cancel()
    await server.until_called("/queue")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await client.aclose()

    assert server.running == server.pending == {}


async def test_a_server_that_does_not_answer_the_withdrawal(
    server: FakeComfy, monkeypatch: pytest.MonkeyPatch, expire: Callable[[], None]
) -> None:
    """The caller gets the timeout within the bound; the prompt is taken off when the server answers again."""

    async def broken(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path == "/queue":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return None

    monkeypatch.setattr(withdraw, "_RETRY", 0.01)
    client = ComfyClient(server.url, limits=Limits(withdraw=0.1))
    await client.open()
    server.script, server.fault = stay_pending, broken
    task = asyncio.create_task(client.run(tiny_prompt(), timeout=TIMEOUT, prompt_id="p"))
    await server.until_called("/queue")
    expire()
    with pytest.raises(RunTimeout, match="may still run it"):
        await task
    assert list(server.pending) == ["p"]
    server.fault = None
    await asyncio.wait([task for task in own_tasks() if task.get_name() == "discomfort-withdraw"], timeout=10)
    await client.aclose()

    assert server.pending == {}


async def test_closing_gives_up_a_withdrawal_that_is_not_answered(
    server: FakeComfy, expire: Callable[[], None]
) -> None:
    """Nothing of the client stays alive."""
    client = ComfyClient(server.url, limits=Limits(withdraw=0.1))
    await client.open()
    hold = asyncio.Event()

    async def hang(request: web.Request) -> None:
        if request.method == "POST" and request.path == "/queue":
            await hold.wait()

    server.script, server.fault = stay_pending, hang
    task = asyncio.create_task(client.run(tiny_prompt(), timeout=TIMEOUT))
    await server.until_called("/queue")
    expire()
    with pytest.raises(RunTimeout):
        await task
    await client.aclose()
    hold.set()

    assert not list(own_tasks())


async def test_cancelling_the_withdrawal_of_a_timeout(
    server: FakeComfy, client: ComfyClient, expire: Callable[[], None]
) -> None:
    """Then it is a cancellation."""
    server.script = stay_pending
    task = asyncio.create_task(client.run(tiny_prompt(), timeout=TIMEOUT))
    await server.until_called("/queue")
    hold = asyncio.Event()

    async def slow(request: web.Request) -> None:
        if request.method == "POST" and request.path == "/queue":
            await hold.wait()

    server.fault = slow
    expire()
    async with asyncio.timeout(10), server.called:
        await server.called.wait_for(lambda: "/queue" in server.paths("POST"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hold.set()


async def sweep(
    server: FakeComfy, client: ComfyClient, strike: Callable[[asyncio.Task[object], int], None], steps: int
) -> list[object]:
    """Start runs and strike each one after another number of turns of the event loop."""
    outcomes: list[object] = []
    for turns in range(steps):
        task: asyncio.Task[object] = asyncio.create_task(client.run(tiny_prompt(turns), prompt_id=f"p{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        strike(task, turns)
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        outcomes.append(outcome)
        assert client.pending == 0
    return outcomes


async def test_cancellation_at_every_turn(server: FakeComfy, client: ComfyClient) -> None:
    """From before the first request to waiting for the end: no prompt stays on the server."""
    server.script = run_until_interrupted

    def strike(task: asyncio.Task[object], turns: int) -> None:
        if turns % 3 == 0:
            client.forget_definitions()
        task.cancel()

    outcomes = await sweep(server, client, strike, 120)
    # What was given up while it was being sent may still arrive.
    await asyncio.wait_for(client.aclose(), 10)

    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    assert 0 < len(server.jobs) < len(outcomes), "some were struck before they were sent, some after"
    assert server.pending == server.running == {}
    assert not list(own_tasks())


async def test_cancellation_at_every_turn_of_a_run_that_ends(server: FakeComfy, client: ComfyClient) -> None:
    """Its result or the cancellation, nothing else."""
    server.script = succeed
    outcomes = await sweep(server, client, lambda task, _: task.cancel() and None, 150)

    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError, dict}
    assert server.pending == server.running == {}


async def test_death_of_the_server_at_every_turn(server: FakeComfy, client: ComfyClient) -> None:
    """The run raises it at once, amid a request or waiting, and the task is not left cancelled."""
    server.script = stay_pending

    def strike(task: asyncio.Task[object], turns: int) -> None:
        if turns % 3 == 0:
            client.forget_definitions()
        client.fail_pending(lambda prompt_id: ServerDiedError("dead", prompt_id=prompt_id))
        if client.pending == 0:
            task.cancel()
        assert turns == 0 or not task.done()

    outcomes = await sweep(server, client, strike, 120)

    assert [type(outcome) for outcome in outcomes[1:]] == [ServerDiedError] * 119


async def test_death_and_cancellation_together(server: FakeComfy, client: ComfyClient) -> None:
    """Who cancels a task finds it cancelled."""
    hold = asyncio.Event()

    async def slow(request: web.Request) -> None:
        if request.path == "/prompt":
            await hold.wait()

    server.fault = slow
    task = asyncio.create_task(client.run(tiny_prompt()))
    await server.until_called("/prompt")
    client.fail_pending(lambda prompt_id: ServerDiedError("dead", prompt_id=prompt_id))
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    hold.set()

    assert isinstance(outcome, asyncio.CancelledError)


async def test_a_caller_can_go_on_after_a_failure(server: FakeComfy, client: ComfyClient) -> None:
    """The break of a request under way leaves no trace in the task."""
    hold = asyncio.Event()

    async def slow(request: web.Request) -> None:
        if request.path == "/prompt":
            await hold.wait()

    async def caller() -> tuple[str, int]:
        task = asyncio.current_task()
        assert task is not None
        try:
            await client.run(tiny_prompt())
        except ServerDiedError:
            await asyncio.sleep(0)
            return "caught", task.cancelling()
        return "no error", 0

    server.fault = slow
    task = asyncio.create_task(caller())
    await server.until_called("/prompt")
    client.fail_pending(lambda prompt_id: ServerDiedError("dead", prompt_id=prompt_id))
    outcome = await asyncio.wait_for(task, 10)
    hold.set()

    assert outcome == ("caught", 0)


async def test_failing_from_within_a_callback(server: FakeComfy, client: ComfyClient) -> None:
    """The callback may end its own run."""

    def end(_: ProgressEvent) -> None:
        client.fail_pending(lambda prompt_id: PromptLostError("enough", prompt_id=prompt_id))

    with pytest.raises(PromptLostError, match="enough"):
        await client.run(tiny_prompt(), on_progress=end)
