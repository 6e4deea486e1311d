"""Executes one prompt: check, submit, wait, read its history record, turn it into a result or an error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from discomfort._json import JsonObject, dumps
from discomfort.client import outcomes
from discomfort.client.definitions import Definitions
from discomfort.client.multiplexer import Multiplexer
from discomfort.client.protocol import accepted_times, executable_nodes, queue_positions, running_prompts
from discomfort.client.reconciler import Reconciler, lost
from discomfort.client.rest import RestClient, is_unanswered, never_sent
from discomfort.client.runs import Limits, Patience, PromptRun
from discomfort.client.shared_request import FreshRequest
from discomfort.exceptions import PayloadError, ServerConnectionError, ServerError, ServerResponseError
from discomfort.progress import Queued
from discomfort.workflow.extra_data import check_extra_data
from discomfort.workflow.partner_nodes import NO_SPENDING, Spending

_log = logging.getLogger("discomfort.client")

_HISTORY_PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each try to read a record that the server has announced; after that the reconciler takes over."""

_SOCKET_GRACE = 0.3
"""Seconds that a run waits for a socket that is being replaced: without one it receives no events."""

_REFUSAL_GRACE = 0.5
"""Seconds to wait for a better reason for a refused connection: the server's death, by ``ComfyClient.fail_pending``."""

_ANNOUNCEMENT: Final = 2.0
"""Seconds that a request for the positions in the queue may take. They are the first events of runs; 0 if unknown."""


class _Places(NamedTuple):
    """Positions of the prompts in the queue, and the times at which they were accepted."""

    positions: dict[str, int]
    accepted: dict[str, float]


class Execution:
    """Executes runs on the server. ``take_off`` removes a prompt from it; ``withdraw`` does so in the background."""

    def __init__(
        self,
        rest: RestClient,
        mux: Multiplexer,
        reconciler: Reconciler,
        definitions: Definitions,
        limits: Limits,
        *,
        runs: dict[str, PromptRun],
        take_off: Callable[[PromptRun], Awaitable[bool]],
        withdraw: Callable[[PromptRun], object],
    ) -> None:
        self._rest, self._mux, self._reconciler, self._definitions = rest, mux, reconciler, definitions
        self._limits, self._runs, self._take_off, self._withdraw = limits, runs, take_off, withdraw
        # Each answer holds all queued prompts: a request for each of many runs would cost their square.
        self._places: FreshRequest[_Places] = FreshRequest(self._read_places, "the queue positions")

    def close(self) -> None:
        """End the requests that several runs share."""
        self._places.close()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for their end."""
        await self._places.aclose()

    async def perform(
        self, run: PromptRun, extra_data: Mapping[str, Any] | None, spending: Spending = NO_SPENDING
    ) -> JsonObject:
        """Execute ``run`` and return its history record. Raises its error if it failed. The caller sets the timeout."""
        run.use(await self._definitions.check(run.prompt))
        extra_data = spending.extra_data(extra_data, self._definitions.paid_nodes(run.prompt))
        run.check()
        if run.reporter is not None:
            run.state.executable = executable_nodes(run.prompt, self._definitions.known)
            # Events may arrive before the answer to the POST. They wait, so that Queued is always the first one.
            run.reporter.hold()
        await self._submit(run, extra_data)
        if run.reporter is not None:
            await self._announce(run)
        return _judged(run, await self._record(run))

    async def follow(self, run: PromptRun) -> JsonObject:
        """Wait for the end of a prompt that the server has from somebody else, and return its history record.

        Its events go to the client that queued it, so queue and history are polled. Raises PromptLostError at once if
        the server does not have it, and the error of a run that failed.
        """
        # The queue first: a prompt that ends between the two requests is then found in the history.
        queue = await self._rest.queue(deadline=self._limits.request)
        position = queue_positions(queue).get(run.prompt_id)
        run.times.created = accepted_times(queue).get(run.prompt_id)
        if position is None:
            record = (await self._rest.history(run.prompt_id, deadline=self._limits.request)).get(run.prompt_id)
            if not isinstance(record, dict):
                raise lost(run)
            run.seen_running()
        else:
            if run.prompt_id in running_prompts(queue):
                run.seen_running()
            else:
                run.seen_in_queue(position)
            self._reconciler.watch()
            record = await self._record(run)
        return _judged(run, record)

    async def _submit(self, run: PromptRun, extra_data: Mapping[str, Any] | None) -> None:
        """POST the prompt. Returns once the server certainly has it."""
        if not self._mux.connected:
            await self._mux.wait_connected(_SOCKET_GRACE)
        # ComfyUI sends this prompt's events to this id for good, whatever sockets connect later.
        run.client_id = self._mux.client_id
        body = _body(run, extra_data)
        # Before the request, not after it: a run that is cancelled during the POST must be taken off the server.
        run.sent = True
        if not self._mux.connected:
            run.mark_events_lost()
        try:
            status, answer = await self._rest.prompt(body, deadline=self._limits.post)
        except (ServerConnectionError, ServerResponseError) as error:
            run.sent = _may_have_arrived(error)
            # A clear refusal. A connection that was never made goes on to _find(), which waits for a better reason.
            if not run.sent and isinstance(error, ServerResponseError):
                raise
            await self._find(run, error)
        else:
            await self._accept(run, status, answer)
        run.accepted = True
        self._reconciler.watch()

    async def _accept(self, run: PromptRun, status: int, answer: JsonObject) -> None:
        if status != 200:
            run.sent = False
            refused = outcomes.refusal(run.prompt, run.prompt_id, answer, self._definitions.known)
            if isinstance(refused, PayloadError):
                # The check by our definitions let pass what the server refuses, so they are outdated.
                self._definitions.forget()
            raise refused
        prompt_id = answer.get("prompt_id")
        if isinstance(prompt_id, str) and prompt_id != run.prompt_id:
            self._rename(run, prompt_id)
        node_errors = answer.get("node_errors")
        if isinstance(node_errors, dict) and node_errors:
            # ComfyUI answers 200 and drops invalid outputs silently: the caller would miss results without an error.
            run.accepted = True
            await self._take_off(run)
            run.sent = False
            raise outcomes.partial_refusal(run.prompt, run.prompt_id, node_errors, self._definitions.known)

    def _rename(self, run: PromptRun, prompt_id: str) -> None:
        """Use the id from the answer: servers that predate client-chosen ids assign one of their own."""
        _log.debug("the server calls prompt %s %s", run.prompt_id, prompt_id)
        self._mux.unregister(run.prompt_id, run)
        self._runs.pop(run.prompt_id, None)
        run.prompt_id = run.state.prompt_id = prompt_id
        self._runs[prompt_id] = run
        self._mux.register(prompt_id, run)
        # Events under the server's own id had no listener so far. An id that matches no socket marks the run as one
        # whose events are lost, so the reconciler polls it more often.
        run.client_id = ""

    async def _find(self, run: PromptRun, error: ServerConnectionError | ServerResponseError) -> None:
        """After a lost answer to the POST: return if the server has the prompt, else raise. It is never sent twice."""
        if not run.sent:
            await run.pause(_REFUSAL_GRACE)
            raise error
        _log.info("the answer for prompt %s was lost (%s); looking for it", run.prompt_id, error.problem)
        patience = Patience(self._limits)
        absent = 0
        # Absent twice, with a pause: queue and history are two requests, and the prompt may move between them.
        while absent < 2:
            if await run.pause(self._limits.lost * absent) or run.state.started:
                return
            try:
                if await self._has(run.prompt_id):
                    return
            except ServerError as failure:
                # The server answered nothing, so the former look proves nothing about now either.
                absent = 0
                if patience.failed(refused=never_sent(failure), news_at=self._mux.news_at) is not None:
                    raise error from failure
                await run.pause(self._limits.poll_blind)
            else:
                patience.answered()
                absent += 1
        # A request that is stuck in a proxy may still arrive, and nobody would wait for that prompt.
        self._withdraw(run)
        run.sent = False
        if isinstance(error, ServerResponseError):
            raise error
        problem = f"{error.problem}; prompt {run.prompt_id} did not reach the server and was not sent again"
        raise ServerConnectionError(problem, url=self._rest.url) from error

    async def _has(self, prompt_id: str) -> bool:
        queue = await self._rest.queue(deadline=self._limits.request)
        return prompt_id in queue_positions(queue) or bool(
            await self._rest.history(prompt_id, deadline=self._limits.request)
        )

    async def _announce(self, run: PromptRun) -> None:
        """Report the position in the queue as the first event, then the events that were held back."""
        position: int | None = None
        try:
            if not run.state.started:
                places = await self._places.get()
                position = places.positions.get(run.prompt_id)
                run.times.created = places.accepted.get(run.prompt_id)
        except ServerError as error:
            _log.debug("the queue position of prompt %s is unknown: %s", run.prompt_id, error)
        run.position = position or 0
        if run.reporter is not None:
            run.reporter.release(Queued(run.prompt_id, run.position))

    async def _read_places(self) -> _Places:
        queue = await self._rest.queue(deadline=_ANNOUNCEMENT)
        return _Places(queue_positions(queue), accepted_times(queue))

    async def _record(self, run: PromptRun) -> JsonObject:
        """Wait for the end of the run and return its record."""
        while True:
            record = await run.outcome()
            if record is not None:
                return record
            # Only a message said that the prompt ended. Rearmed before the reads below: the reconciler may find the
            # record in the meantime, and resolving a future that is done already would be lost.
            run.rearm()
            for pause in _HISTORY_PAUSES:
                if pause and await run.pause(pause):
                    break
                try:
                    record = (await self._rest.history(run.prompt_id, deadline=self._limits.request)).get(run.prompt_id)
                except ServerError as error:
                    _log.debug("the record of prompt %s could not be read: %s", run.prompt_id, type(error).__name__)
                    break
                if isinstance(record, dict):
                    return record
            # The reconciler decides from here on: it finds the record, or the reason why there is none.
            self._reconciler.kick()


def _judged(run: PromptRun, record: JsonObject) -> JsonObject:
    run.times.note_record(record)
    failure = outcomes.verdict(run.prompt_id, record)
    if failure is not None:
        raise failure
    return record


def _may_have_arrived(error: ServerConnectionError | ServerResponseError) -> bool:
    """Whether a failed POST may have reached the server: it got no answer, or one that does not refuse the prompt."""
    if isinstance(error, ServerResponseError):
        return is_unanswered(error) or not 300 <= error.status < 500
    return not never_sent(error)


def _body(run: PromptRun, extra_data: Mapping[str, Any] | None) -> bytes:
    body: JsonObject = {"prompt": run.prompt, "client_id": run.client_id, "prompt_id": run.prompt_id}
    # ``"extra_data": null`` would end ComfyUI's execution thread, or be answered with 500 (NODE_REPLACEMENTS).
    if extra := check_extra_data(extra_data):
        body["extra_data"] = extra
    try:
        return dumps(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"prompt or extra_data cannot be sent as JSON: {error}") from error
