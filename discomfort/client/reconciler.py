"""The poll of queue and history that makes sure that every pending run ends.

The socket is only a hint: messages sent while it was down are never repeated, and a deleted prompt is not announced at
all. So queue and history are polled from time to time, the queue first: a prompt that ends between the two requests is
then found in the history. In the other order it would be found in neither.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from discomfort.client.protocol import accepted_times, queue_positions, running_prompts
from discomfort.client.rest import UNANSWERED, RestClient, never_sent
from discomfort.client.runs import LONGEST_PAUSE, Limits, Patience, PromptRun
from discomfort.exceptions import PromptLostError, ServerConnectionError, ServerResponseError

_log = logging.getLogger("discomfort.client")

_STRIKES = 3
"""Consecutive definite errors from a run's history after which the run fails."""

_ROUND_SHARE = 10
"""A pause lasts at least this many times as long as the round before it: ComfyUI needs long to list a long queue."""

_EARLY = 0.05
"""Seconds until the next round if one was requested during a round."""

AFTER_END = 0.25
"""Seconds between ``execution_success`` (or an error) and a look at the history, if no other message follows."""


class Reconciler:
    """Polls for ``runs`` while there are any; without runs it costs nothing.

    ``events_lost`` returns whether those of a run are lost, ``news`` when the socket last received any, by the loop's
    clock.
    """

    def __init__(
        self,
        rest: RestClient,
        runs: Mapping[str, PromptRun],
        limits: Limits,
        *,
        events_lost: Callable[[PromptRun], bool],
        news: Callable[[], float],
    ) -> None:
        self._rest, self._runs, self._limits, self._events_lost, self._news = rest, runs, limits, events_lost, news
        self._patience = Patience(limits)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._urgent = self._early = self._closed = False

    def watch(self) -> None:
        """Begin to poll if that is not scheduled: a run was added."""
        if self._timer is None and self._task is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self._limits.poll, self._tick)

    def kick(self, delay: float = 0.0) -> None:
        """Look at every run after ``delay`` seconds, even at those with recent messages."""
        self._urgent = True
        self.look(delay)

    def look(self, delay: float) -> None:
        """Look after ``delay`` seconds at the runs that are due by then."""
        if self._closed:
            return
        # A round is under way and may have passed this run already: the next one follows soon after it.
        if self._task is not None:
            self._early = True
            return
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._tick)

    def close(self) -> None:
        """Stop looking; idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for the round that is under way."""
        self.close()
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task = None

    def _tick(self) -> None:
        self._timer = None
        if self._runs:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="discomfort-reconciler")

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._early = False
        try:
            await self._round()
        except (ServerConnectionError, ServerResponseError) as error:
            self._unreachable(error)
        except Exception:  # noqa: BLE001 - the next round must come whatever this one raised, or runs would hang
            _log.exception("looking after %d pending runs failed", len(self._runs))
        self._task = None
        # The run that is due soonest sets the pace, but never faster than the server can answer.
        pause = min((self._interval(run) for run in self._runs.values()), default=self._limits.poll)
        pause = max(pause, min(LONGEST_PAUSE, _ROUND_SHARE * (loop.time() - began)))
        if self._urgent or self._early:
            pause = min(pause, _EARLY)
        if self._runs and not self._closed:
            self._timer = loop.call_later(pause, self._tick)

    def _interval(self, run: PromptRun) -> float:
        """Seconds without news of a run after which it is looked at."""
        if run.state.ended:
            return AFTER_END
        return self._limits.poll_blind if self._events_lost(run) else self._limits.poll

    async def _round(self) -> None:
        """Look once. Raises when the server does not answer."""
        urgent, self._urgent = self._urgent, False
        # Timers may fire a little early; a run that is due must not wait for the next round because of that.
        now = asyncio.get_running_loop().time() + 0.02
        candidates = [
            run
            for run in self._runs.values()
            if run.accepted and not run.future.done() and (urgent or now - run.news_at >= self._interval(run))
        ]
        if not candidates:
            return
        positions: dict[str, int] | None = None
        running: frozenset[str] = frozenset()
        accepted: dict[str, float] = {}
        queue_error: ServerResponseError | None = None
        try:
            queue = await self._rest.queue(deadline=self._limits.request)
            positions, running = queue_positions(queue), running_prompts(queue)
            accepted = accepted_times(queue)
            self._patience.answered()
        except ServerResponseError as error:
            # The history may still answer, and a record there ends its run. Only absence needs the queue to be known.
            queue_error = error
        for run in candidates:
            run.news_at = now
            run.times.created = accepted.get(run.prompt_id, run.times.created)
            position = (positions or {}).get(run.prompt_id)
            if run.prompt_id in running and self._events_lost(run):
                # No message will say that it started.
                run.seen_running()
            elif position is not None:
                run.seen_in_queue(position)
            elif not run.future.done():
                await self._examine(run, queue_known=positions is not None)
        if queue_error is not None:
            raise queue_error

    async def _examine(self, run: PromptRun, *, queue_known: bool) -> None:
        """Examine a prompt that is not queued: it is in the history, or lost. Raises if the server does not answer."""
        try:
            record = (await self._rest.history(run.prompt_id, deadline=self._limits.request)).get(run.prompt_id)
        except ServerResponseError as error:
            if error.status in UNANSWERED:
                raise
            run.strikes += 1
            if run.strikes >= _STRIKES:
                run.fail(_unreadable(run, error))
            return
        run.strikes = 0
        if isinstance(record, dict):
            run.resolve(record)
        elif queue_known:
            # In neither, once: the prompt may be on its way from the one to the other, or be queued by a POST that is
            # not answered yet. It is lost if a second look, some time later, finds the same.
            now = asyncio.get_running_loop().time()
            if run.missed == 0:
                run.missed_at = now
            run.missed += 1
            if run.missed >= 2 and now - run.missed_at >= self._limits.lost:
                run.fail(lost(run))

    def _unreachable(self, error: ServerConnectionError | ServerResponseError) -> None:
        seconds = self._patience.failed(refused=never_sent(error), news_at=self._news())
        if seconds is None:
            _log.debug("the server did not answer: %s", error.problem)
            return
        for run in list(self._runs.values()):
            failure = ServerConnectionError(
                f"not reachable for {seconds:.0f} s while prompt {run.prompt_id} was pending: {error.problem}",
                url=self._rest.url,
            )
            failure.__cause__ = error
            run.fail(failure)


def lost(run: PromptRun) -> PromptLostError:
    """The error for a prompt that the server no longer has."""
    told = "it was running" if run.state.started else "it had not started, as far as is known"
    return PromptLostError(
        f"prompt {run.prompt_id} is neither queued nor in the history ({told}): somebody deleted it, its record was "
        "evicted, or the server was restarted",
        prompt_id=run.prompt_id,
    )


def _unreadable(run: PromptRun, error: ServerResponseError) -> ServerResponseError:
    problem = f"the record of prompt {run.prompt_id} cannot be read"
    if error.status == 500:
        problem += "; ComfyUI answers like this if a node returned a result that is not JSON"
    failure = ServerResponseError(problem, method=error.method, url=error.url, status=error.status, body=error.body)
    failure.__cause__ = error
    return failure
