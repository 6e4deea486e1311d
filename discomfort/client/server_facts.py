"""Asks a server for its version and features; what it does not report is left open, and no call fails because of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from discomfort._json import JsonObject
from discomfort.client.rest import RestClient, never_sent
from discomfort.client.shared_request import SharedRequest
from discomfort.exceptions import ServerConnectionError, ServerError
from discomfort.server_features import ServerFeatures, server_features

_log = logging.getLogger("discomfort.client")

_DEADLINE: Final = 5.0
"""Seconds for each of the two requests. A server may be loading a model, and runs do not need the answers."""


class ServerFacts:
    """The version and the features of one server, read once per connection. ``known`` is ``None`` until then."""

    def __init__(self, rest: RestClient) -> None:
        self._request: SharedRequest[ServerFeatures] = SharedRequest(lambda: _read(rest), "the server's features")

    @property
    def known(self) -> ServerFeatures | None:
        """What was read; ``None`` before it was, and after :meth:`forget`."""
        return self._request.known

    def start(self) -> None:
        """Begin to read, without waiting."""
        self._request.start()

    async def get(self) -> ServerFeatures:
        """The version and features that the server reports, read on demand. Raises StateError after :meth:`close`."""
        try:
            return await self._request.get()
        except ServerConnectionError as error:
            return ServerFeatures(problem=error.problem)

    def forget(self) -> None:
        """Read again when it is next needed: the connection was lost, and another server may answer now."""
        self._request.forget()

    def close(self) -> None:
        """End the requests under way."""
        self._request.close()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for their end."""
        await self._request.aclose()


async def _read(rest: RestClient) -> ServerFeatures:
    """Raises ServerConnectionError if the server cannot be reached, in which case it has to be asked again."""
    stats, features = await asyncio.gather(
        rest.system_stats(deadline=_DEADLINE), rest.features(deadline=_DEADLINE), return_exceptions=True
    )
    answers: list[JsonObject | None] = []
    problem = ""
    for answer in (stats, features):
        if isinstance(answer, ServerError):
            if never_sent(answer):
                raise answer
            problem = problem or str(answer)[:500]
        elif isinstance(answer, BaseException):
            raise answer
        answers.append(None if isinstance(answer, BaseException) else answer)
    found = server_features(answers[0], answers[1], problem=problem)
    _log.debug("the server is ComfyUI %s, at least %s", found.version, found.at_least)
    return found
