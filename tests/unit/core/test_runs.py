"""One run by the policies, on a scripted client: death, memory, and a cancelled node that goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from discomfort.config import Settings
from discomfort.connector.background import BackgroundTasks
from discomfort.connector.calls import Calls
from discomfort.connector.cancellation import CancellationWatch
from discomfort.connector.event_log import EventLog
from discomfort.connector.prompts import Prompts
from discomfort.connector.recovery import Recovery, RestartBudget
from discomfort.connector.run_policy import RunPolicy, RunRequest
from discomfort.connector.server_loss import ServerLoss
from discomfort.connector.states import Lifecycle, State
from discomfort.exceptions import (
    BrowserError,
    ExecutionInterrupted,
    FatalPromptError,
    MissingNode,
    MissingNodesError,
    NodeFailure,
    OutOfMemoryError,
    ResultLostError,
    RunTimeout,
    ServerConnectionError,
    ServerDiedError,
    ServerStartTimeout,
    StateError,
)
from discomfort.progress import Done, ProgressEvent, Started

Attempt = Callable[["Bench", Any], Awaitable[dict[str, Any]]]


class Loss(ServerLoss):
    """Notes which servers were given up, and does not start others."""

    given_up: list[ServerDiedError]

    def give_up(self, death: ServerDiedError, count: int) -> None:
        """Instead of a restart."""
        self.given_up.append(death)


class Bench:
    """A runner whose client plays one ``attempts`` entry per submission."""

    def __init__(self, *attempts: Attempt, owned: bool = True, **settings: Any) -> None:
        self.attempts = list(attempts)
        self.ids: list[str | None] = []
        self.freed = 0
        self.readied = 0
        self.free_error: Exception | None = None
        self.queue: list[str] = []
        self.lost: list[ServerDiedError] = []
        self.watched = 0
        self.lifecycle = Lifecycle()
        self.lifecycle.to(State.INITIALIZING)
        self.lifecycle.to(State.READY)
        made = Settings(**settings)
        rest = SimpleNamespace(free=self.free, queue=self.list_queue)
        client = SimpleNamespace(run=self.run, rest=rest, definitions=None)
        self.supervisor: Any = None
        self.parts: Any = SimpleNamespace(
            owned=owned, client=client, engine=None, supervisor=None, settings=made, death=lambda: ServerDiedError("?")
        )
        self.background = BackgroundTasks()
        events, calls = EventLog(), Calls()
        self.recovery = Recovery(
            made.on_server_death, RestartBudget(3), start=self.ready, spawn=self.background.spawn, events=events
        )
        self.loss = Loss(self.parts, self.lifecycle, self.recovery, calls, self.background, events)
        self.loss.given_up = self.lost
        self.prompts = Prompts(self.parts, self.recovery, self.loss, calls, ready=self.ready)
        self.runner = RunPolicy(
            self.parts, self.lifecycle, self.recovery, self.loss, self.prompts,
            CancellationWatch(self.parts, self.lifecycle, self.recovery, self.loss, self.background), calls, events,
            ready=self.ready, watch=self.watch,
        )  # fmt: skip

    def watch(self) -> None:
        """Somebody looks from now on whether the server is stuck."""
        self.watched += 1

    async def play(
        self, *, on_progress: Any = None, timeout: float | None = None, asked: float | None = None
    ) -> dict[str, Any]:
        """One call of ``run_workflow`` with an empty prompt."""
        deadline = None if timeout is None else time.monotonic() + timeout
        request = RunRequest({}, on_progress=on_progress, deadline=deadline, timeout=asked or timeout)
        return await self.runner.run(request)

    async def run(self, prompt: Any, *, prompt_id: str | None, on_run: Any, on_progress: Any, **_: Any) -> Any:
        """One submission."""
        self.ids.append(prompt_id)
        run = SimpleNamespace(prompt_id=prompt_id or f"random-{len(self.ids)}", stage="new", sent=True)
        run.blind_since = None
        on_run(run)
        success = False
        try:
            if on_progress is not None:
                on_progress(Started(run.prompt_id))
            result = await self.attempts.pop(0)(self, run)
            success = True
            return result
        finally:
            if on_progress is not None:
                on_progress(Done(run.prompt_id, success))

    async def free(self, **_: Any) -> None:
        """``POST /free``."""
        self.freed += 1
        if self.free_error is not None:
            raise self.free_error

    async def list_queue(self, **_: Any) -> dict[str, Any]:
        """``GET /queue``."""
        return {"queue_running": [[0, prompt_id, {}, {}, []] for prompt_id in self.queue], "queue_pending": []}

    async def ready(self) -> None:
        """The server is back."""
        self.readied += 1
        if self.lifecycle.state is State.ERROR:
            self.lifecycle.to(State.INITIALIZING)
            self.lifecycle.to(State.READY)

    def kill(self, *suspected: str) -> ServerDiedError:
        """The server dies."""
        death = ServerDiedError("the server died", signal="SIGKILL", log_tail=["last words"])
        self.recovery.note(death, frozenset(suspected))
        return death


async def succeed(bench: Bench, run: Any) -> dict[str, Any]:
    """A run as it should be."""
    return {run.prompt_id: {"outputs": {}}}


def die(stage: str, *, suspected: bool = False) -> Attempt:
    """The server dies when the run has come to ``stage``."""

    async def attempt(bench: Bench, run: Any) -> dict[str, Any]:
        run.stage = stage
        raise bench.kill(*([run.prompt_id] if suspected else []))

    return attempt


def fail(error: Exception) -> Attempt:
    """The run raises."""

    async def attempt(bench: Bench, run: Any) -> dict[str, Any]:
        run.stage = "running"
        raise error

    return attempt


def out_of_memory() -> OutOfMemoryError:
    """What a sampler raises on a full card."""
    return OutOfMemoryError(NodeFailure("3", "KSampler", None, "torch.OutOfMemoryError", "CUDA out of memory"))


async def test_default_raises_the_death() -> None:
    """Without a policy a death is the run's end; nothing is submitted twice."""
    bench = Bench(die("running"))

    with pytest.raises(ServerDiedError):
        await bench.play()
    assert bench.ids == [None]
    assert bench.readied == 0


@pytest.mark.parametrize("stage", ["new", "sent", "queued", "running"])
async def test_resubmission_keeps_the_id(stage: str) -> None:
    """Whatever had not ended is submitted again under its id, and its callback sees one end only."""
    bench = Bench(die(stage), succeed, on_server_death="restart_and_resubmit")
    events: list[ProgressEvent] = []

    history = await bench.play(on_progress=events.append)

    (prompt_id,) = history
    assert bench.ids == [prompt_id, prompt_id]
    assert bench.readied == 1
    # The run that is submitted again is watched as well: the first watch may have ended with the first server.
    assert bench.watched == 2
    assert events == [Started(prompt_id), Started(prompt_id), Done(prompt_id, success=True)]


async def test_what_had_ended_is_not_executed_again() -> None:
    """A run whose record was lost with the server ends with the typed error, caused by the death."""
    bench = Bench(die("ended"), succeed, on_server_death="restart_and_resubmit")

    with pytest.raises(ResultLostError) as caught:
        await bench.play()
    assert len(bench.ids) == 1
    assert isinstance(caught.value.__cause__, ServerDiedError)
    assert caught.value.prompt_id == bench.ids[0]


@pytest.mark.parametrize(("before", "submissions"), [(5.0, 1), (0.1, 2)])
async def test_what_may_have_ended_unseen(before: float, submissions: int) -> None:
    """Events were missed since long before the death: not executed again. A socket that fell with it hides nothing."""

    async def attempt(bench: Bench, run: Any) -> dict[str, Any]:
        run.stage, run.blind_since = "queued", 100.0
        death = bench.kill()
        bench.recovery.lost_at = 100.0 + before
        raise death

    bench = Bench(attempt, succeed, on_server_death="restart_and_resubmit")
    if submissions == 1:
        with pytest.raises(ResultLostError, match="may have ended"):
            await bench.play()
    else:
        assert await bench.play()
    assert len(bench.ids) == submissions


async def test_poison_is_refused_after_two_deaths() -> None:
    """A prompt that ran twice when the server died is not submitted a third time; the error lists both deaths."""
    bench = Bench(die("running", suspected=True), die("running", suspected=True), succeed,
                  on_server_death="restart_and_resubmit")  # fmt: skip

    with pytest.raises(FatalPromptError) as caught:
        await bench.play()
    assert len(bench.ids) == 2
    assert len(caught.value.deaths) == 2
    assert str(caught.value).count("last words") == 2


async def test_victims_of_others_are_not_suspected() -> None:
    """A prompt that only waited in the queue survives as many deaths as the restarts allow."""
    bench = Bench(*[die("queued")] * 5, succeed, on_server_death="restart_and_resubmit")

    await bench.play()

    assert len(bench.ids) == 6


async def test_attached_servers_are_not_ours_to_restart() -> None:
    """The policy is for owned servers."""
    bench = Bench(die("running"), owned=False, on_server_death="restart_and_resubmit")

    with pytest.raises(ServerDiedError):
        await bench.play()
    assert bench.readied == 0


async def test_deadline_holds_while_the_server_is_away() -> None:
    """A server that does not come back in time is a RunTimeout with the caller's own figure."""
    bench = Bench(die("running"), on_server_death="restart_and_resubmit")

    async def never() -> None:
        await asyncio.Event().wait()

    bench.runner._ready = never
    with pytest.raises(RunTimeout) as caught:
        await bench.play(timeout=0.01, asked=5.0)
    assert caught.value.timeout == 5.0
    assert "the new one was not ready yet" in str(caught.value)


async def test_a_server_that_does_not_start_again_says_so() -> None:
    """The start has a budget of its own; when that passes first, it is not a RunTimeout."""
    bench = Bench(die("running"), on_server_death="restart_and_resubmit")

    async def slow() -> None:
        raise ServerStartTimeout("it did not answer in 300 s")

    bench.runner._ready = slow
    with pytest.raises(ServerStartTimeout, match="300 s"):
        await bench.play(timeout=60.0, asked=60.0)


@pytest.mark.parametrize(
    ("kind", "says"), [("emulator", "COMFYUI_PATH"), ("comfyui", "the packs"), (None, "the packs")]
)
async def test_nodes_that_the_emulator_lacks(kind: str | None, says: str) -> None:
    """On the emulator the remedy is a ComfyUI; elsewhere it is a pack, and the error stays as it is."""

    async def lacks(bench: Bench, run: Any) -> dict[str, Any]:
        raise error

    bench = Bench(lacks)
    bench.parts.engine = None if kind is None else SimpleNamespace(kind=kind)
    error = MissingNodesError([MissingNode("KSampler", ("3",))])

    with pytest.raises(MissingNodesError, match=says) as caught:
        await bench.play()

    assert caught.value.missing == error.missing
    assert (caught.value is error) is (kind != "emulator")


async def test_server_lost_before_the_submission() -> None:
    """A death between conversion and submission: raised by default, waited out where runs survive."""
    for policy, expected in (("raise", ServerDiedError), ("restart_and_resubmit", None)):
        bench = Bench(succeed, on_server_death=policy)
        bench.kill()
        bench.lifecycle.to(State.ERROR)
        if expected is not None:
            with pytest.raises(expected):
                await bench.play()
        else:
            assert await bench.play()
            assert bench.readied == 1


@pytest.mark.parametrize("error", [StateError("closed"), ExecutionInterrupted("closed"),
                                   ServerConnectionError("broke", url="http://x")])  # fmt: skip
async def test_death_is_the_true_reason(error: Exception) -> None:
    """What a dying server makes of a run is told as the death that it was."""

    async def attempt(bench: Bench, run: Any) -> dict[str, Any]:
        bench.kill()
        raise error

    with pytest.raises(ServerDiedError) as caught:
        await Bench(attempt).play()
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [StateError("closed"), ExecutionInterrupted("by hand")])
async def test_other_ends_stay_what_they_are(error: Exception) -> None:
    """Without a death nothing is blamed on the server."""
    with pytest.raises(type(error)):
        await Bench(fail(error)).play()


async def test_without_a_connection() -> None:
    """A connector that was never started says so."""
    bench = Bench()
    bench.parts.client = None

    with pytest.raises(StateError, match="no connection"):
        await bench.play()


async def test_conversion_is_repeated_where_runs_survive() -> None:
    """A conversion that the death broke is made again on the new server; by default the death is raised."""
    for policy in ("raise", "restart_and_resubmit"):
        bench = Bench(on_server_death=policy)
        calls = 0

        async def convert(bench: Bench = bench) -> dict[str, Any]:
            nonlocal calls
            calls += 1
            if calls == 1:
                bench.kill()
                raise BrowserError("gone")
            return {"1": {}}

        if policy == "raise":
            with pytest.raises(ServerDiedError):
                await bench.prompts.with_server(convert, survives=True)
            calls = 0
        else:
            assert await bench.prompts.with_server(convert, survives=True) == {"1": {}}
            calls = 0
            with pytest.raises(ServerDiedError):
                await bench.prompts.with_server(convert, survives=False)


async def test_conversion_error_without_a_death() -> None:
    """A browser that fails by itself is a BrowserError."""
    bench = Bench()

    async def convert() -> dict[str, Any]:
        raise BrowserError("no Chromium")

    with pytest.raises(BrowserError):
        await bench.prompts.with_server(convert, survives=True)


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owned", "freed"), [(True, 1), (False, 0)])
async def test_memory_is_freed_and_the_error_raised(owned: bool, freed: int) -> None:
    """By default the owned server is asked to free its memory; other people's models stay where they are."""
    bench = Bench(fail(out_of_memory()), owned=owned)

    with pytest.raises(OutOfMemoryError):
        await bench.play()
    assert bench.freed == freed


@pytest.mark.parametrize("owned", [True, False])
async def test_memory_retry_once(owned: bool) -> None:
    """The retry has an id of its own and one end; a second failure is raised."""
    bench = Bench(fail(out_of_memory()), succeed, owned=owned, on_out_of_memory="retry_once")
    events: list[ProgressEvent] = []
    history = await bench.play(on_progress=events.append)
    assert list(history) == ["random-2"]
    assert [event for event in events if isinstance(event, Done)] == [Done("random-2", success=True)]
    assert bench.freed == 1

    bench = Bench(fail(out_of_memory()), fail(out_of_memory()), owned=owned, on_out_of_memory="retry_once")
    with pytest.raises(OutOfMemoryError):
        await bench.play()
    assert len(bench.ids) == 2


async def test_memory_that_can_not_be_freed() -> None:
    """A server that refuses /free changes nothing about the error."""
    bench = Bench(fail(out_of_memory()))
    bench.free_error = ServerConnectionError("gone", url="http://x")

    with pytest.raises(OutOfMemoryError):
        await bench.play()
    assert bench.freed == 1


# --- the ladder of a cancellation ------------------------------------------------------------------------------------


def cancelled_while(stage: str) -> Attempt:
    """The caller gives up while the run is at ``stage``."""

    async def attempt(bench: Bench, run: Any) -> dict[str, Any]:
        run.stage = stage
        raise RunTimeout("too long", timeout=1)

    return attempt


async def climb(bench: Bench, *running: str) -> int:
    """One run that its caller gave up, and what follows in the background; how many tasks that were."""
    bench.queue = list(running)
    with pytest.raises(RunTimeout):
        await bench.play()
    spawned = tuple(bench.background._tasks)
    await asyncio.gather(*spawned)
    return len(spawned)


async def test_ladder_ends_in_a_restart() -> None:
    """A node that goes on after its interrupt costs the server, where that was asked for; the caller is free before."""
    bench = Bench(cancelled_while("running"), cancel_restart_after=0.001)
    await climb(bench, "random-1")

    assert [death.problem for death in bench.lost] == [
        "the server was restarted: cancelled prompt random-1 kept running for 0.001 s"
    ]


@pytest.mark.parametrize(
    ("settings", "stage", "running", "tasks"),
    [
        ({}, "running", "random-1", 0),
        ({"cancel_restart_after": 0.001, "owned": False}, "running", "random-1", 0),
        ({"cancel_restart_after": 0.001}, "new", "random-1", 0),
        ({"cancel_restart_after": 0.001}, "ended", "random-1", 0),
        ({"cancel_restart_after": 60}, "running", "other", 1),
    ],
)
async def test_ladder_stops_before(settings: dict[str, Any], stage: str, running: str, tasks: int) -> None:
    """No restart: not asked for, not our server, nothing on it, over already, or the node ended."""
    bench = Bench(cancelled_while(stage), **settings)
    spawned = await climb(bench, running)

    assert spawned == tasks
    assert bench.lost == []


async def test_ladder_of_a_server_that_was_lost_meanwhile() -> None:
    """A new server has nothing to do with the old one's prompts."""
    bench = Bench(cancelled_while("running"), cancel_restart_after=0.001)
    bench.queue = ["random-1"]
    with pytest.raises(RunTimeout):
        await bench.play()
    bench.kill()
    await asyncio.gather(*bench.background._tasks)

    assert bench.lost == []


async def test_ladder_of_a_server_that_does_not_answer() -> None:
    """Silence is not the end of a node: after the time the server is restarted."""
    bench = Bench(cancelled_while("running"), cancel_restart_after=0.001)

    async def silent(**_: Any) -> dict[str, Any]:
        raise ServerConnectionError("no answer", url="http://x")

    bench.parts.client.rest.queue = silent
    await climb(bench)

    assert len(bench.lost) == 1
