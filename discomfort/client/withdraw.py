"""Takes prompts off a server: deletes them from its queue or interrupts them, and touches no others."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable

from discomfort.client.protocol import queue_positions, running_prompts
from discomfort.client.rest import RestClient, is_unanswered, never_sent
from discomfort.exceptions import ServerConnectionError, ServerError, ServerResponseError
from discomfort.server_features import JOB_CANCEL, ServerFeatures

_log = logging.getLogger("discomfort.client")

_LOOKS = (0.0, 0.03, 0.1, 0.25, 0.25)
"""Seconds before each look. Several are needed: ComfyUI clears its interrupt flag when it starts a prompt, so an
interrupt that arrives between taking and starting it is lost (also that of JOB_CANCEL); and a prompt whose POST was
aborted may be queued late.
A node that ignores the interrupt is not waited for; the server stops at the next node."""


_RETRY = 1.0
"""Seconds between tries on a server that does not answer at the moment."""


class Withdrawals:
    """Takes prompts off the server in the background, each try ``deadline`` seconds at most.

    ``features`` are those of the server, ``None`` if they are not known.
    """

    def __init__(self, rest: RestClient, deadline: float, *, features: Callable[[], ServerFeatures | None]) -> None:
        self._deadline, self._cancellation = deadline, JobCancellation(rest, features)
        self._tasks: dict[asyncio.Task[bool], tuple[frozenset[str], frozenset[str]]] = {}
        self._broken: list[tuple[frozenset[str], frozenset[str]]] = []
        self._given_up = False
        self._owner = os.getpid()

    def start(self, prompt_ids: Iterable[str], *, uncertain: Iterable[str]) -> asyncio.Task[bool]:
        """Begin to take prompts off the server; see :func:`withdraw`."""
        # A task of its own: it must go on when the run that it belongs to is cancelled again.
        ids, doubtful = frozenset(prompt_ids), frozenset(uncertain)
        # The prompts that a forked child has in its copy of this object are its parent's.
        is_idle = self._given_up or os.getpid() != self._owner
        work = _nothing() if is_idle else withdraw(self._cancellation, ids, uncertain=doubtful, deadline=self._deadline)
        task = asyncio.create_task(work, name="discomfort-withdraw")
        self._tasks[task] = (ids, doubtful)
        task.add_done_callback(self._ended)
        return task

    async def settle(self, seconds: float) -> None:
        """Wait until all are off the server, for ``seconds`` at most, then abort the rest.

        Withdrawals that somebody else cancelled are started again: ``asyncio.run`` cancels every task when its main
        task ends.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self._given_up:
            # Cancelled from outside while this loop waited: the prompts are still on the server.
            broken, self._broken = self._broken, []
            for ids, uncertain in broken:
                self.start(ids, uncertain=uncertain)
            left = end - loop.time()
            if not self._tasks or left <= 0:
                break
            await asyncio.wait(set(self._tasks), timeout=left)
        # Set first, so that _ended() does not queue the tasks cancelled here for another try.
        self._given_up = True
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks))

    def _ended(self, task: asyncio.Task[bool]) -> None:
        work = self._tasks.pop(task)
        if task.cancelled() and not self._given_up:
            self._broken.append(work)


async def _nothing() -> bool:
    return False


class JobCancellation:
    """The one request that takes a prompt off the queue or interrupts it, on servers that have it (JOB_CANCEL)."""

    def __init__(self, rest: RestClient, features: Callable[[], ServerFeatures | None]) -> None:
        self.rest, self._features = rest, features
        self._is_missing = False

    async def cancel(self, prompt_id: str) -> bool:
        """Ask for it. Returns whether the server knows the request; without its version that is simply tried."""
        features = self._features()
        if self._is_missing or (features is not None and features.has(JOB_CANCEL) is False):
            return False
        self._is_missing = await self.rest.cancel(prompt_id) is None
        return not self._is_missing


async def withdraw(
    cancellation: JobCancellation, prompt_ids: Iterable[str], *, uncertain: Iterable[str], deadline: float
) -> bool:
    """Take the prompts off the queue, and interrupt the one that runs, by its id. Returns whether that succeeded.

    ``uncertain`` prompts are those that the server may still be about to accept; they are looked for several times.
    Server errors are not raised: what was not done within ``deadline`` seconds is logged. A busy server is asked again,
    one that refuses connections is not.
    """
    ids = frozenset(prompt_ids)
    try:
        async with asyncio.timeout(deadline):
            left = await _until_answered(cancellation, ids, frozenset(uncertain) & ids)
    except (ServerError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        _log.warning("%d prompt(s) could not be taken off the server: %s", len(ids), reason)
        return False
    if left:
        _log.info("prompt %s was interrupted and keeps running until its node ends", ", ".join(sorted(left)))
    return True


async def _until_answered(
    cancellation: JobCancellation, ids: frozenset[str], uncertain: frozenset[str]
) -> frozenset[str]:
    while True:
        try:
            return await _take_off(cancellation, ids, uncertain)
        except (ServerConnectionError, ServerResponseError) as error:
            # Refused connections mean that the server is gone, and its queue with it. A closed client cannot ask again.
            if not is_unanswered(error) or never_sent(error) or cancellation.rest.closed:
                raise
            _log.debug("the server does not answer the withdrawal: %s", error.problem)
        await asyncio.sleep(_RETRY)


async def _take_off(cancellation: JobCancellation, ids: frozenset[str], uncertain: frozenset[str]) -> frozenset[str]:
    rest, left = cancellation.rest, ids
    for pause in _LOOKS:
        await asyncio.sleep(pause)
        # Before the look: a prompt that started too early for the deletion then shows as running. Several are deleted
        # by one request of the older kind, since ComfyUI copies its whole queue for each cancellation.
        is_asked = len(left) == 1 and await cancellation.cancel(*left)
        if not is_asked:
            await rest.delete(sorted(left))
        queue = await rest.queue()
        # Only a prompt that the queue shows as running is interrupted: servers that predate the targeted interrupt
        # ignore the id and would stop whatever runs, which may be somebody else's prompt.
        for prompt_id in left & running_prompts(queue):
            if not is_asked and not await cancellation.cancel(prompt_id):
                await rest.interrupt(prompt_id)
        left = left & queue_positions(queue).keys()
        if not left and not uncertain:
            break
        left = left | uncertain
    return left - uncertain
