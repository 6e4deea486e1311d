"""Which restart follows a death, how often, and which prompts are believed to have caused it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import until

from discomfort.connector.event_log import EventLog
from discomfort.connector.recovery import LONGEST_PAUSE, Policy, Recovery, RestartBudget, for_prompt, suspects
from discomfort.exceptions import (
    FatalPromptError,
    RestartLimitError,
    ResultLostError,
    ServerDiedError,
    ServerStartError,
    StateError,
)


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A recovery with a scripted start: each entry of ``outcomes`` is raised, ``None`` is a success."""

    def __init__(self, policy: Policy, *outcomes: Exception | None, limit: int = 3) -> None:
        self.clock, self.pauses, self.starts = Clock(), list[float](), 0
        self.outcomes = list(outcomes)
        self.tasks: list[asyncio.Task[None]] = []
        self.window_moved = asyncio.Event()
        self.chronicle = EventLog()
        self.recovery = Recovery(
            policy, RestartBudget(limit, clock=self.clock), start=self.start, spawn=self.spawn,
            events=self.chronicle, sleep=self.sleep,
        )  # fmt: skip

    async def start(self) -> None:
        """Fail or succeed, as the script says."""
        self.starts += 1
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome

    async def sleep(self, seconds: float) -> None:
        """Remember the pause instead of waiting; one until the window has moved on lasts until the test says so."""
        self.pauses.append(seconds)
        if seconds > LONGEST_PAUSE:
            self.window_moved.clear()
            await self.window_moved.wait()

    async def move_the_window(self) -> None:
        """Ten minutes pass."""
        self.clock.now += 601
        self.window_moved.set()
        while tasks := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(tasks)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task, as the connector makes them."""
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return self.tasks[-1]

    def die(self, problem: str = "died") -> None:
        """A death, and what follows."""
        self.recovery.note(ServerDiedError(problem, signal="SIGKILL", log_tail=[f"last words of {problem}"]))
        self.recovery.begin()


def run(prompt_id: str, stage: str) -> Any:
    """A run, as far as the suspicion looks at it."""
    return SimpleNamespace(prompt_id=prompt_id, stage=stage)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], set()),
        ([run("a", "queued"), run("b", "running"), run("c", "sent")], {"b"}),
        ([run("a", "queued"), run("c", "sent")], {"c"}),
        ([run("a", "queued"), run("b", "queued")], {"a"}),
        ([run("a", "new"), run("b", "ended")], set()),
    ],
)
def test_suspects(runs: list[Any], expected: set[str]) -> None:
    """What ran is suspected, else what was being accepted, else the first in line; never what had ended."""
    assert suspects(runs) == expected


def test_about_tells_the_same_death_to_another_prompt() -> None:
    """Facts and text stay, the prompt is the caller's, and the original is untouched."""
    death = ServerDiedError("it died", exit_code=3, log_tail=["x"])

    told = for_prompt(death, "p1")

    assert (told.problem, told.exit_code, told.log_tail, told.prompt_id) == ("it died", 3, ("x",), "p1")
    assert death.prompt_id is None


def test_pauses_grow_and_end() -> None:
    """The first restart is at once, then 1, 2, 4 … seconds and at most a minute."""
    budget = RestartBudget(100, clock=Clock())

    assert [budget.take() for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_restarts_are_counted_within_the_window() -> None:
    """Restarts older than ten minutes no longer count, and are not in the story."""
    clock = Clock()
    budget = RestartBudget(2, clock=clock)
    budget.note(ServerDiedError("first"))
    budget.take()
    clock.now += 599
    budget.note(ServerDiedError("second"))
    budget.take()
    assert budget.exhausted

    clock.now += 2

    assert not budget.exhausted
    assert [str(error) for error in budget.story] == ["second"]
    assert budget.take() == 1.0


class Moment(float):
    """A time; at the next look at it something else happens, as another thread might do it just then."""

    meanwhile: Callable[[], object] | None = None

    def _seen(self) -> None:
        work, self.meanwhile = self.meanwhile, None
        if work is not None:
            work()

    def __ge__(self, other: float, /) -> bool:
        self._seen()
        return float(self) >= other

    def __lt__(self, other: float, /) -> bool:
        self._seen()
        return float(self) < other


def test_budget_is_read_while_another_thread_changes_it() -> None:
    """A look at restarts and deaths shows those of one moment."""
    first = Moment(0.0)
    now: list[float] = [first]
    budget = RestartBudget(5, clock=lambda: now[-1])
    for problem in ("1", "2", "3"):
        budget.take()
        budget.note(ServerDiedError(problem))

    first.meanwhile = budget.take
    assert budget.used == 3
    first.meanwhile = lambda: budget.note(ServerDiedError("4"))
    assert [str(error) for error in budget.story] == ["1", "2", "3"]
    assert (budget.used, len(budget.story)) == (4, 4)

    now.append(700.0)
    first.meanwhile = lambda: budget.used
    assert budget.used == 0


def test_budget_of_nothing() -> None:
    """It is exhausted from the start, and says so; what is taken all the same is counted."""
    budget = RestartBudget(0, clock=Clock())
    assert budget.exhausted
    assert budget.used == 0
    assert "MAX_RESTARTS=0" in str(budget.error())
    assert [budget.take() for _ in range(3)] == [0.0, 1.0, 1.0]
    assert budget.used == 1


async def test_raise_restarts_nothing() -> None:
    """With the default policy a death starts nothing and stops no call."""
    bench = Bench("raise")
    bench.die()
    await bench.recovery.settled()

    assert (bench.starts, bench.tasks) == (0, [])
    assert bench.recovery.count == 1


async def test_ordered_restart_happens_under_any_policy_and_is_not_counted() -> None:
    """A restart that was asked for is not an accident."""
    bench = Bench("raise")
    bench.recovery.note(ServerDiedError("given up"))
    bench.recovery.begin(ordered=True)
    await bench.recovery.settled()

    assert bench.starts == 1
    assert bench.recovery.budget.used == 0


async def test_ordered_restart_that_fails_is_left_to_the_next_call() -> None:
    """Under the default policy one try is made; nothing keeps the next call from its own start."""
    bench = Bench("raise", ServerStartError("no"))
    bench.recovery.begin(ordered=True)
    await bench.recovery.settled()

    assert bench.starts == 1


async def test_restart_is_repeated_until_it_works() -> None:
    """A start that fails is followed by another one, with a growing pause between them."""
    bench = Bench("restart", ServerStartError("port"), OSError("disk"), None, limit=5)
    bench.die()
    await bench.recovery.settled()

    assert bench.starts == 3
    assert bench.pauses == [1.0, 2.0]
    assert [event["kind"] for event in bench.chronicle.events] == [
        "server lost", "restart failed", "restart failed", "server restarted",
    ]  # fmt: skip


async def test_one_restart_at_a_time() -> None:
    """A second death while the server is being restarted does not start a second restart."""
    bench = Bench("restart")
    bench.die("one")
    bench.die("two")
    await bench.recovery.settled()

    assert len(bench.tasks) == 1


async def test_death_at_the_very_moment_of_the_restart() -> None:
    """A server that dies before its restart was known to work is restarted again, and that counts."""
    bench = Bench("restart")

    async def start() -> None:
        bench.starts += 1
        if bench.starts == 1:
            bench.die("again")

    bench.recovery._start = start
    bench.die("first")
    await bench.recovery.settled()

    assert (bench.starts, bench.recovery.budget.used) == (2, 2)


async def test_limit_tells_the_whole_story() -> None:
    """Beyond the limit calls raise every death with its last words, until the window has moved on."""
    bench = Bench("restart", limit=2)
    for problem in ("first", "second", "third"):
        bench.die(problem)
        if problem != "third":
            await bench.recovery.settled()
    with pytest.raises(RestartLimitError) as caught:
        await bench.recovery.settled()

    assert bench.starts == 2
    assert [getattr(error, "problem", "") for error in caught.value.deaths] == ["first", "second", "third"]
    assert (caught.value.signal, caught.value.log_tail) == ("SIGKILL", ("last words of third",))
    for problem in ("1. first", "last words of first", "2. second", "3. third", "MAX_RESTARTS=2"):
        assert problem in str(caught.value)

    bench.clock.now += 601
    await bench.recovery.settled()


async def test_no_restart_at_all() -> None:
    """``max_restarts=0`` gives up at the first death."""
    bench = Bench("restart_and_resubmit", limit=0)
    bench.die()

    with pytest.raises(RestartLimitError) as caught:
        await bench.recovery.settled()
    assert bench.starts == 0
    assert bench.recovery.budget.free_in is None
    assert "the next one" not in str(caught.value)
    await bench.move_the_window()
    with pytest.raises(RestartLimitError):
        await bench.recovery.settled()


async def test_restart_beyond_the_limit_happens_by_itself() -> None:
    """Calls raise until the window has moved on; then the server is started without any call."""
    bench = Bench("restart", limit=1)
    bench.die("first")
    await bench.recovery.settled()
    bench.clock.now += 200
    bench.die("second")
    for _ in range(2):
        with pytest.raises(RestartLimitError, match="the next one is possible in 400 s"):
            await bench.recovery.settled()
    assert bench.starts == 1
    assert 400 < bench.pauses[-1] < 410

    await bench.move_the_window()

    assert bench.starts == 2
    await bench.recovery.settled()


async def test_restart_beyond_the_limit_that_fails_is_tried_again() -> None:
    """A server that cannot start is tried as often in each window, and is not given up for good."""
    bench = Bench("restart", None, ServerStartError("no"), None, limit=1)
    bench.die("first")
    await bench.recovery.settled()
    bench.die("second")
    await until(lambda: len(bench.pauses) == 1)
    bench.clock.now += 601
    bench.window_moved.set()
    await until(lambda: len(bench.pauses) == 2)
    assert bench.starts == 2

    await bench.move_the_window()

    assert bench.starts == 3


async def test_restart_beyond_the_limit_is_not_needed_any_more() -> None:
    """``create`` started the server meanwhile: what was put off does not happen."""
    bench = Bench("restart", limit=1)
    bench.die("first")
    await bench.recovery.settled()
    bench.die("second")
    with pytest.raises(RestartLimitError):
        await bench.recovery.settled()

    await until(lambda: bench.pauses)
    bench.recovery.note_ready()
    await bench.recovery.settled()
    await bench.move_the_window()

    assert bench.starts == 1


async def test_shut_down_meanwhile() -> None:
    """A connector that was shut down wants no server: the restart ends without an error."""
    bench = Bench("restart", StateError("shut down"))
    bench.die()
    await bench.recovery.settled()

    assert bench.starts == 1
    assert not bench.recovery.under_way


async def test_waiting_can_be_cancelled() -> None:
    """A caller that gives up waiting does not end the restart."""
    bench = Bench("restart")
    release = asyncio.Event()

    async def start() -> None:
        await release.wait()
        bench.starts += 1

    bench.recovery._start = start
    bench.die()
    waiter = asyncio.create_task(bench.recovery.settled())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert bench.recovery.under_way
    release.set()
    await bench.recovery.settled()

    assert bench.starts == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda deaths: FatalPromptError("fatal:", deaths, prompt_id="p"),
        lambda deaths: RestartLimitError("limit:", deaths, prompt_id="p"),
    ],
)
def test_story_errors(make: Callable[[list[Any]], ServerDiedError]) -> None:
    """Both are a ServerDiedError with the last death's facts, also where there is no death to name."""
    error = make([ServerDiedError("a", exit_code=3, log_tail=["x"] * 9), ServerStartError("b", exit_code=4)])

    assert isinstance(error, ServerDiedError)
    assert (error.exit_code, error.prompt_id) == (4, "p")
    assert str(error).count("     x") == 5
    assert make([]).exit_code is None


def test_lost_result_is_a_lost_prompt() -> None:
    """Who handles PromptLostError handles this one too."""
    error = ResultLostError("gone", prompt_id="p")

    assert error.prompt_id == "p"
    assert isinstance(error, RuntimeError)
