"""The node definitions of a server, fetched once, and the check of prompts against them."""

from __future__ import annotations

import asyncio
import logging

from discomfort._json import JsonObject
from discomfort.client.rest import RestClient
from discomfort.exceptions import PayloadError, ServerResponseError, UnsafePromptError, ValidationError
from discomfort.workflow.preflight import check_prompt

_log = logging.getLogger("discomfort.client")


class Definitions:
    """``/object_info`` of one server. ``known`` is what was fetched, ``None`` before and after :meth:`forget`."""

    def __init__(self, rest: RestClient) -> None:
        self._rest = rest
        self._fetching: asyncio.Task[JsonObject] | None = None
        self.known: JsonObject | None = None

    async def get(self) -> JsonObject:
        """The definitions; concurrent callers share one request, which a cancelled caller does not end.

        Raises ServerConnectionError, ServerResponseError.
        """
        if self.known is not None:
            return self.known
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._rest.object_info(), name="discomfort-definitions")
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)

    def forget(self) -> None:
        """Fetch anew at the next need; who waits already gets the older answer."""
        self.known = self._fetching = None

    async def aclose(self) -> None:
        """Break off a request that is under way."""
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def check(self, prompt: JsonObject) -> JsonObject:
        """The prompt as it may be sent; see :func:`check_prompt` for what is raised.

        What older definitions speak against is only believed after a look at fresh ones: files and models that were
        added since are in the lists of the new ones.
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
        failed = task.cancelled() or task.exception() is not None
        if self._fetching is task:
            self._fetching = None
            if not failed:
                self.known = task.result()
