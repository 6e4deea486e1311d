"""A pool's promises, whatever happens in whatever order: one end for each run, and one start unless it may retry."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from standin_servers import MODELS, StandinRun, StandinServer, pool_of, prompt

from discomfort.exceptions import (
    ExecutionError,
    ExecutionInterrupted,
    FatalPromptError,
    NodeFailure,
    OutOfMemoryError,
    RunLostError,
)
from discomfort.pool.pool_events import Assigned, Waiting
from discomfort.pool.pool_result import PoolResult
from discomfort.pool.pool_run import PoolRun
from discomfort.pool.retry import Retry
from discomfort.progress import Done, Queued, Started

FAILURE = NodeFailure("2", "Say", "Say", "RuntimeError", "broken", ())
ENDS = (PoolResult, RunLostError, FatalPromptError, ExecutionError, ExecutionInterrupted)
TURNS = 12
"""Turns of the event loop in which everything that follows from one step has happened."""


class PoolMachine(RuleBasedStateMachine):
    """Three servers by hand; the model is what each run may have become."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.servers = [StandinServer(name, vram=size * 10**9) for name, size in (("a", 8), ("b", 24), ("c", 24))]
        self.pool = self.do(pool_of(*self.servers))
        self.submitted: dict[str, PoolRun] = {}
        self.readers: dict[str, asyncio.Task[list[Any]]] = {}
        self.retries: dict[str, int] = {}
        self.starts: Counter[str] = Counter()
        self.memory_losses: Counter[str] = Counter()
        self.ended: dict[str, object] = {}

    def do(self, work: Any) -> Any:
        """Run a coroutine, and all that follows from it."""
        found = self.loop.run_until_complete(work)
        self.loop.run_until_complete(self._turns())
        return found

    def act(self, step: Callable[[], object]) -> None:
        """Do something in the event loop, and all that follows from it."""

        async def work() -> None:
            step()

        self.do(work())

    async def _turns(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def teardown(self) -> None:
        """Everything ends with the pool."""
        self.do(self.pool.aclose())
        for run_id, run in self.submitted.items():
            assert run.done
            events = self.do(self.readers[run_id])
            self.check_events(run_id, events)
        self.loop.close()

    # --- what may happen ---

    @rule(target=runs, model=st.sampled_from(MODELS), times=st.integers(0, 2), tenant=st.sampled_from("xy"))
    def submit(self, model: str, times: int, tenant: str) -> str:
        """A run, with a reader of its events."""
        values = {"Say.text": f"run {len(self.submitted)}"}
        run = self.do(self.pool.submit(prompt(model), values, retry=Retry(times), tenant=tenant))
        self.submitted[run.run_id], self.retries[run.run_id] = run, times
        self.readers[run.run_id] = self.loop.create_task(self._read(run))
        return str(run.run_id)

    async def _read(self, run: PoolRun) -> list[Any]:
        return [event async for event in run.events()]

    @rule(which=st.integers(0, 2))
    def start(self, which: int) -> None:
        """A server begins what it has."""
        for attempt in self.attempts(which):
            if not getattr(attempt, "begun", False):
                attempt.begun = True  # type: ignore[attr-defined]
                self.starts[attempt.order.run_id] += 1
                self.act(attempt.start)

    @rule(which=st.integers(0, 2), how=st.sampled_from(["finish", "error", "memory"]))
    def end(self, which: int, how: str) -> None:
        """What a server has begun ends."""
        for attempt in self.attempts(which):
            if getattr(attempt, "begun", False):
                if how == "finish":
                    self.act(attempt.finish)
                elif how == "error":
                    self.act(partial(attempt.fail, ExecutionError(FAILURE, prompt_id=attempt.prompt_id)))
                else:
                    self.memory_losses[attempt.order.run_id] += 1
                    self.act(partial(attempt.fail, OutOfMemoryError(FAILURE, prompt_id=attempt.prompt_id)))

    @rule(which=st.integers(0, 2))
    def die(self, which: int) -> None:
        """A server dies with what it has."""
        if self.servers[which].is_ready:
            self.act(self.servers[which].die)

    @rule(which=st.integers(0, 2))
    def come_back(self, which: int) -> None:
        """A dead server is there again."""
        if not self.servers[which].is_ready:
            self.act(self.servers[which].return_)

    @rule(run_id=consumes(runs))
    def cancel(self, run_id: str) -> None:
        """Somebody cancels a run, at any time."""
        self.do(self.submitted[run_id].cancel())
        assert self.submitted[run_id].done

    @rule(which=st.integers(0, 2))
    def drain_or_resume(self, which: int) -> None:
        """A server gets no more runs, or gets them again."""
        slot = self.pool._slots.get(self.servers[which].name)
        assert slot is not None
        if slot.state == "ready":
            self.act(lambda: self.pool._slots.drain(slot))
        elif slot.state == "draining":
            self.act(lambda: self.pool.resume(slot.name))

    # --- what must hold ---

    @invariant()
    def a_run_is_at_one_place(self) -> None:
        """On one server at most, and only while it has not ended; a server has one run."""
        where = Counter(attempt.order.run_id for server in self.servers for attempt in server.runs)
        assert all(count == 1 for count in where.values())
        assert all(len(server.runs) <= 1 for server in self.servers)
        for run_id in where:
            assert not self.submitted[run_id].done
        waiting = sum(not run.done and run_id not in where for run_id, run in self.submitted.items())
        assert waiting == self.pool.status().waiting

    @invariant()
    def an_end_is_for_good(self) -> None:
        """And it is one of those that are documented."""
        for run_id, run in self.submitted.items():
            if run.done:
                outcome = run.outcome
                assert isinstance(outcome, ENDS)
                assert self.ended.setdefault(run_id, outcome) is outcome

    @invariant()
    def nothing_begins_twice_unasked(self) -> None:
        """But for what ran out of memory, which is over and may be tried on a larger server."""
        for run_id, starts in self.starts.items():
            assert starts <= 1 + self.retries[run_id] + min(self.memory_losses[run_id], 1)

    @invariant()
    def nobody_waits_beside_an_idle_server(self) -> None:
        """All of these runs fit any server, and nothing is loaded anywhere that would be worth a wait of minutes."""
        slots = {slot.name: slot for slot in self.pool._slots.slots}
        idle = [
            server.name for server in self.servers
            if server.is_ready and not server.runs and slots[server.name].state == "ready"
        ]  # fmt: skip
        busy = [server for server in self.servers if server.runs]
        waiting = [run for run in self.submitted.values() if run.phase == "waiting"]
        if idle and not busy:
            assert not [run for run in waiting if not set(idle) <= run._state.request.avoided and not _is_bound(run)]

    def check_events(self, run_id: str, events: list[Any]) -> None:
        """``Done`` is the last and the only one; each attempt is waited for, assigned, queued and started, in order."""
        kinds = [type(event) for event in events]
        assert kinds.count(Done) == 1
        assert kinds[-1] is Done
        assert events[-1].success == isinstance(self.submitted[run_id].outcome, PoolResult)
        order = {
            Waiting: {Waiting, Assigned},
            Assigned: {Queued, Waiting},
            Queued: {Started, Waiting},
            Started: {Waiting},
        }
        for before, after in pairwise(kinds):
            assert after is Done or after in order[before], kinds

    def attempts(self, which: int) -> list[StandinRun]:
        """What a server has."""
        return [attempt for attempt in self.servers[which].runs if not attempt.end.done()]


def _is_bound(run: PoolRun) -> bool:
    """Whether it needs a larger server than some."""
    return run._state.request.requirement.vram > 0


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
