"""Hands waiting runs to servers as the scheduler decides, and sees each of them through to its one end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from discomfort.client.rest import never_sent
from discomfort.connector.payloads import read_object_of
from discomfort.exceptions import (
    DiscomfortError,
    ExecutionInterrupted,
    NoServerFits,
    OutOfMemoryError,
    ResultLostError,
    RunTimeout,
    ServerConnectionError,
    ServerDiedError,
    StateError,
)
from discomfort.functions.call_filling import CallFilling
from discomfort.pool.pool_events import Loading
from discomfort.pool.pool_result import Placement, PoolResult, RunTiming, pool_result
from discomfort.pool.retry import Loss, verdict
from discomfort.pool.run_orders import PoolOrder
from discomfort.pool.run_requests import PoolRequest
from discomfort.pool.run_state import PooledRun
from discomfort.pool.scheduler import RunAssignment, Scheduler
from discomfort.pool.server_slots import ServerSlot, ServerSlots
from discomfort.progress import NodeStarted, ProgressEvent, Started

_log = logging.getLogger("discomfort.pool")

_CANCEL_WAIT = 5.0
"""Seconds that whoever cancels a run waits for its server; the server is asked for longer, in the background."""

_TELL_EVERY = 1.0
"""Seconds between two events about a place in the queue, for runs whose events are read."""


@dataclass(slots=True, eq=False)
class _Attempt:
    """A run on one server."""

    run: PooledRun
    slot: ServerSlot
    assignment: RunAssignment
    life: int
    started_at: float | None = None
    task: asyncio.Task[None] | None = None
    is_sent: bool = False
    """Whether the server may have the prompt."""
    ending: BaseException | None = None
    """Why we end it ourselves."""
    loss: DiscomfortError | None = None
    """Why we take it from its server."""


class Dispatcher:
    """Owns the runs of a pool until they end. For the event loop's thread only."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.slots: ServerSlots = ServerSlots(scheduler, self.wake)
        self._scheduler = scheduler
        self._runs: dict[str, PooledRun] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.Handle | None = None
        self._teller: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self.on_fatal: Callable[[PooledRun, DiscomfortError], None] = lambda run, error: None
        """Called with each run that killed too many servers."""
        self.on_end: Callable[[PooledRun], None] = lambda run: None
        """Called with each run that has ended."""

    @property
    def runs(self) -> tuple[PooledRun, ...]:
        """The runs that have not ended, in the order of their submission."""
        return tuple(self._runs.values())

    def attempts_on(self, slot: ServerSlot) -> tuple[PooledRun, ...]:
        """The runs that a server has."""
        return tuple(each.run for each in self._attempts.values() if each.slot is slot)

    def enqueue(self, run: PooledRun) -> None:
        """Let a run wait for a server. Raises NoServerFits."""
        self._check_fits(run.request)
        self._runs[run.run_id] = run
        if (remaining := run.remaining) is not None:
            self._timers[run.run_id] = self._loop.call_later(remaining, self._expire, run)
        self._scheduler.submit(run.request, time.monotonic())
        self._tell(run)
        self.wake()

    async def cancel(self, run: PooledRun, error: BaseException | None = None) -> bool:
        """End a run, with ``error`` or ExecutionInterrupted; wait 5 s at most. Returns whether this ended it."""
        if run.done:
            return False
        reason = error or ExecutionInterrupted(f"run {run.run_id} was cancelled", prompt_id=run.prompt_id or None)
        task = self._end_early(run, reason)
        if task is not None:
            await asyncio.wait([task], timeout=_CANCEL_WAIT)
            # The server goes on with its cancellation; nobody needs to wait for that.
            self._finish(run, None, reason)
        return run.error is reason

    def take_from(self, slot: ServerSlot, reason: DiscomfortError) -> None:
        """Interrupt what runs on a server, as if it had died; a run that has not begun waits for another one."""
        for attempt in tuple(self._attempts.values()):
            if attempt.slot is slot and attempt.task is not None and attempt.loss is None:
                attempt.loss = reason
                attempt.task.cancel()

    async def emptied(self, slot: ServerSlot, deadline: float | None) -> bool:
        """Wait until a server has no run; after ``deadline`` seconds it is interrupted. Returns whether it was not."""
        try:
            async with asyncio.timeout(deadline):
                await self._wait_empty(slot)
        except TimeoutError:
            reason = f"the server {slot.name} was drained, and the run had not ended within {deadline:g} s"
            self.take_from(slot, ServerDiedError(reason))
            await self._wait_empty(slot)
            return False
        return True

    async def _wait_empty(self, slot: ServerSlot) -> None:
        while self.attempts_on(slot):
            slot.idle.clear()
            await slot.idle.wait()

    async def idle(self) -> None:
        """Wait until no run waits or runs."""
        while self._runs:
            self._ended.clear()
            await self._ended.wait()

    async def close(self, reason: str) -> None:
        """End all runs with ExecutionInterrupted."""
        tasks = [self._end_early(run, _interrupted(run, reason)) for run in self.runs]
        waiting = [task for task in tasks if task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=_CANCEL_WAIT)
        for run in self.runs:
            self._finish(run, None, _interrupted(run, reason))
        for handle in (self._wake, self._teller):
            if handle is not None:
                handle.cancel()

    def wake(self) -> None:
        """Decide soon: something has changed."""
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._loop.call_soon(self._decide)

    # --- decisions -------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        now = time.monotonic()
        for assignment in self._scheduler.decide(now):
            self._begin(assignment)
        next_check = self._scheduler.next_check(now)
        self._wake = None if next_check is None else self._loop.call_later(max(0.01, next_check - now), self._decide)
        if self._teller is None and self._scheduler.waiting:
            self._teller = self._loop.call_later(_TELL_EVERY, self._tell_all)

    def _begin(self, assignment: RunAssignment) -> None:
        run, slot = self._runs[assignment.request.id], self.slots[assignment.server]
        attempt = _Attempt(run, slot, assignment, slot.life)
        self._attempts[run.run_id] = attempt
        slot.run_id = run.run_id
        slot.idle.clear()
        run.assign(slot.name)
        attempt.task = asyncio.create_task(self._serve(attempt), name="discomfort-pool-run")

    def _check_fits(self, request: PoolRequest) -> None:
        misfits = self.slots.misfits(request)
        if not misfits and all(slot.state == "ready" for slot in self.slots.slots):
            # The scheduler knows whose servers are: a tenant that gets none would wait forever.
            misfits = self._scheduler.misfits(request)
        if misfits:
            raise NoServerFits(misfits)

    # --- one run on one server -------------------------------------------------------------------------------------

    async def _serve(self, attempt: _Attempt) -> None:
        run, slot = attempt.run, attempt.slot
        filling = CallFilling(run.call.bound, slot.server, run.name)
        seconds: float | None = None
        try:
            result = await self._perform(attempt, filling)
            seconds = result.timing.ran
        except asyncio.CancelledError:
            if attempt.ending is None and attempt.loss is not None:
                self._lost(attempt, attempt.loss)
            else:
                self._finish(run, None, attempt.ending or _interrupted(run, "its task was cancelled"))
        except OutOfMemoryError as error:
            self._scheduler.forget(slot.name)
            self._out_of_memory(attempt, error)
        except (ServerDiedError, ServerConnectionError, StateError, ResultLostError) as error:
            self._lost(attempt, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the end of this run
            self._finish(run, None, error)
        else:
            self._finish(run, result, None)
        finally:
            try:
                await filling.take_back()
            finally:
                self._leave(attempt, seconds)

    async def _perform(self, attempt: _Attempt, filling: CallFilling) -> PoolResult:
        run, server = attempt.run, attempt.slot.server
        if attempt.assignment.wipe:
            await server.wipe()
        prompt = await filling.fill({})
        order = PoolOrder(
            run.run_id, prompt if isinstance(prompt, dict) else read_object_of(prompt),
            timeout=run.remaining, extra_data=run.call.extra_data, allow_paid=run.options.allow_paid,
            api_key=run.options.api_key, folder=run.options.folder,
        )  # fmt: skip
        attempt.is_sent = True
        record = await server.run(order, lambda event: self._note(attempt, event))
        timing = self._timing(attempt)
        placement = Placement(run.run_id, server.name, timing, tuple(map(str, sorted(attempt.assignment.loads))))
        return pool_result(run.name, run.call.bound, filling, record, placement)

    def _timing(self, attempt: _Attempt) -> RunTiming:
        run, now = attempt.run, time.monotonic()
        return RunTiming(run.assigned_at - run.began, now - run.assigned_at, now - run.began)

    def _note(self, attempt: _Attempt, event: ProgressEvent) -> None:
        run = attempt.run
        if isinstance(event, Started) and attempt.started_at is None:
            attempt.started_at = time.monotonic()
            run.trail.starts += 1
        run.note(event)
        if isinstance(event, NodeStarted):
            for model in sorted(run.call.models.get(event.node_id, frozenset()) & attempt.assignment.loads):
                about = self._scheduler.expected_load(frozenset({model}))
                run.stream.publish(Loading(run.run_id, str(model), round(about, 1)))

    def _leave(self, attempt: _Attempt, seconds: float | None) -> None:
        """The server has no run any more."""
        slot = attempt.slot
        if self._attempts.get(attempt.run.run_id) is attempt:
            del self._attempts[attempt.run.run_id]
        use = slot.use
        use.runs += 1
        if seconds is not None:
            load = min(seconds, self._scheduler.expected_load(attempt.assignment.loads))
            use.loads += len(attempt.assignment.loads)
            use.loading += load
            use.useful += seconds - load
        if slot.run_id == attempt.run.run_id:
            slot.run_id = ""
        if slot.life == attempt.life and slot.state in ("ready", "draining"):
            self._scheduler.finished(slot.name, time.monotonic(), seconds=seconds)
            if slot.profile.keeps_nothing:
                self._scheduler.forget(slot.name)
        slot.idle.set()
        self.wake()

    # --- what may go wrong -----------------------------------------------------------------------------------------

    def _lost(self, attempt: _Attempt, error: DiscomfortError) -> None:
        """The server was lost with the run: another one, or the run's end."""
        run, slot = attempt.run, attempt.slot
        if attempt.ending is not None:
            self._finish(run, None, attempt.ending)
            return
        if isinstance(error, ResultLostError):
            self._finish(run, None, error)
            return
        if slot.life == attempt.life and slot.state == "ready":
            self.slots.lost(slot, _reason(error))
        is_drained = attempt.loss is not None and slot.state == "draining"
        loss = Loss(
            slot.name, _was_started(attempt, error), run.stream.last_kind, error, run.prompt_id or None, is_drained
        )  # fmt: skip
        end = verdict(run.trail, loss, run.options.retry)
        if end is None:
            what = "was drained" if is_drained else "died"
            self._wait_again(run, self._elsewhere(run), f"server {slot.name} {what}")
            return
        if len(run.trail.begun) > 1 or len(run.trail.waiting) > 1:
            self.on_fatal(run, end)
        self._finish(run, None, end)

    def _elsewhere(self, run: PooledRun) -> PoolRequest:
        """The request without the servers that it has lost, as long as others are left that it fits."""
        avoided = replace(run.request, avoided=run.request.avoided | run.trail.servers)
        return run.request if self.slots.misfits(avoided) else avoided

    def _out_of_memory(self, attempt: _Attempt, error: OutOfMemoryError) -> None:
        """Once more on a larger server, if there is one; the same server has tried it twice."""
        run, vram = attempt.run, attempt.slot.profile.vram
        larger = replace(run.request, requirement=replace(run.request.requirement, vram=vram + 1))
        if not vram or run.trail.freed or self.slots.misfits(larger):
            self._finish(run, None, error)
            return
        run.trail.freed = True
        self._wait_again(run, larger, f"server {attempt.slot.name} ran out of memory")

    def _wait_again(self, run: PooledRun, request: PoolRequest, reason: str) -> None:
        _log.warning("run %s waits again: %s", run.run_id, reason)
        run.wait_again(request, reason)
        self._scheduler.submit(request, time.monotonic())
        self._tell(run)
        self.wake()

    # --- ends ------------------------------------------------------------------------------------------------------

    def _end_early(self, run: PooledRun, reason: BaseException) -> asyncio.Task[None] | None:
        """End a run ourselves. Returns the task in which its server ends it, ``None`` if it waited."""
        attempt = self._attempts.get(run.run_id)
        if attempt is None or attempt.task is None or run.phase == "waiting":
            self._scheduler.cancel(run.run_id)
            self._finish(run, None, reason)
            self.wake()
            return None
        if attempt.ending is None:
            attempt.ending = reason
            attempt.task.cancel()
        return attempt.task

    def _expire(self, run: PooledRun) -> None:
        """The run's timeout has passed."""
        timeout = run.options.timeout or 0.0
        where = f"on server {run.server}" if run.server else "while it waited for a server"
        problem = f"run {run.run_id} took longer than {timeout:g} s; the time passed {where}"
        self._end_early(run, RunTimeout(problem, timeout=timeout, prompt_id=run.prompt_id or None))

    def _finish(self, run: PooledRun, result: PoolResult | None, error: BaseException | None) -> None:
        timer = self._timers.pop(run.run_id, None)
        if timer is not None:
            timer.cancel()
        if self._runs.pop(run.run_id, None) is not None:
            run.finish(result, error)
            self.on_end(run)
        self._ended.set()

    # --- what waits ------------------------------------------------------------------------------------------------

    def _tell(self, run: PooledRun) -> None:
        outlook = self._scheduler.outlook(run.run_id, time.monotonic())
        run.show_waiting(outlook.position, outlook.about, outlook.reason)

    def _tell_all(self) -> None:
        self._teller = None
        for run in self._runs.values():
            if run.phase == "waiting" and run.stream.is_read:
                self._tell(run)
        if self._scheduler.waiting:
            self._teller = self._loop.call_later(_TELL_EVERY, self._tell_all)


def _was_started(attempt: _Attempt, error: DiscomfortError) -> bool | None:
    """Whether the run had begun; ``None`` if nobody can know."""
    if attempt.started_at is not None:
        return True
    # A dead server begins nothing any more, and one that was not reached has not got the prompt.
    if isinstance(error, ServerConnectionError) and attempt.is_sent and not never_sent(error):
        return None
    return False


def _reason(error: DiscomfortError) -> str:
    return error.problem if isinstance(error, ServerDiedError | ServerConnectionError) else str(error)


def _interrupted(run: PooledRun, reason: str) -> ExecutionInterrupted:
    return ExecutionInterrupted(f"run {run.run_id} ended: {reason}", prompt_id=run.prompt_id or None)
