"""The node definitions of a server, fetched once, and the check of prompts against them."""

from __future__ import annotations

import asyncio
import copy
import logging

from discomfort._json import JsonObject
from discomfort.client.rest import RestClient
from discomfort.exceptions import (
    DiscomfortError,
    PayloadError,
    ServerResponseError,
    StateError,
    UnsafePromptError,
    ValidationError,
)
from discomfort.workflow.preflight import check_prompt

_log = logging.getLogger("discomfort.client")


class Definitions:
    """``/object_info`` of one server. ``known`` is the last answer, ``None`` before it and after :meth:`forget`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest
        self._fetching: asyncio.Task[JsonObject] | None = None
        self._requests: set[asyncio.Task[JsonObject]] = set()
        self._closed = False
        self.known: JsonObject | None = None

    async def get(self) -> JsonObject:
        """The definitions, not copied. Concurrent callers share one request, which no cancelled caller ends.

        Raises ServerConnectionError, ServerResponseError, StateError after :meth:`close`.
        """
        if self._closed:
            raise StateError("the client is closed")
        if self.known is not None:
            return self.known
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._rest.object_info(), name="discomfort-definitions")
            self._requests.add(self._fetching)
            self._fetching.add_done_callback(self._fetched)
        fetching = self._fetching
        # asyncio.wait(), not await: when close() cancels the task, its waiters must get an error, not a cancellation.
        await asyncio.wait([fetching])
        error = None if fetching.cancelled() else fetching.exception()
        if fetching.cancelled() or (error is not None and self._closed):
            raise StateError("the client was closed while the node definitions were read")
        if error is not None:
            # A copy: one exception object would collect the tracebacks of all callers that share the request.
            raise copy.copy(error) if isinstance(error, DiscomfortError) else error
        return fetching.result()

    def forget(self) -> None:
        """Fetch again at the next call; callers that already wait get the older answer."""
        self.known = self._fetching = None

    def close(self) -> None:
        """Cancel the requests under way; callers that wait for them raise StateError."""
        self._closed = True
        for task in self._requests:
            task.cancel()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for the end of the requests."""
        self.close()
        if self._requests:
            await asyncio.wait(set(self._requests))

    async def check(self, prompt: JsonObject) -> JsonObject:
        """The prompt to send. Raises as :func:`check_prompt`.

        A problem found with older definitions is checked again with fresh ones, whose lists contain the files and
        models added since.
        """
        definitions = self.known
        if definitions is None:
            return check_prompt(prompt, await self._get_or_none())
        try:
            return check_prompt(prompt, definitions)
        except UnsafePromptError:
            raise
        except (PayloadError, ValidationError):
            if self.known is definitions:
                self.forget()
            return check_prompt(prompt, await self._get_or_none())

    async def _get_or_none(self) -> JsonObject | None:
        try:
            return await self.get()
        except ServerResponseError as error:
            _log.warning("prompts are checked without node definitions: %s", error.problem)
            return None

    def _fetched(self, task: asyncio.Task[JsonObject]) -> None:
        self._requests.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if self._fetching is task:
            self._fetching = None
            if not failed:
                self.known = task.result()
