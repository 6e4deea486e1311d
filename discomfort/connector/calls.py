"""The calls under way on a connector, and how a shutdown or the loss of the server ends them.

A call may wait at any of dozens of places: for a page, a thread, a definition, a restart. Each of these parts fails
its own waiters; the scopes here guarantee it for all places at once. Apart from its caller, two things end a call: the
shutdown of the connector, and the loss of the server while the call needs that server.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from discomfort._system.concurrency import EndableScope, EndableScopes
from discomfort._tracebacks import FramelessBlock
from discomfort.connector.recovery import for_prompt
from discomfort.exceptions import ServerDiedError


class Call(AbstractAsyncContextManager["Call"]):
    """One call; ``make_error`` makes the error that it raises when the connector is shut down.

    ``calls`` has it while it is under way. While ``in_client`` is set, the client ends the run itself, since it must
    also take the prompt off the server.
    """

    in_client: bool

    def __init__(self, make_error: Callable[[], BaseException], calls: set[Call]) -> None:
        self.make_error, self._calls = make_error, calls
        self.scope: EndableScope = EndableScope()
        self.in_client = False

    async def __aenter__(self) -> Self:
        self._calls.add(self)
        await self.scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.discard(self)
        await self.scope.__aexit__(kind, error, trace)


class Calls:
    """Keeps the calls under way. For the event loop's thread only."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._server_scopes = EndableScopes()

    def open(self, make_error: Callable[[], BaseException]) -> AbstractAsyncContextManager[Call]:
        """Wraps one call: a shutdown makes it raise ``make_error()`` wherever it waits. Its errors have no frames."""
        return FramelessBlock(Call(make_error, self._calls))

    @property
    def need_server(self) -> bool:
        """Whether some work waits for the server at this moment."""
        return self._server_scopes.entered

    def server_needed(self) -> AbstractAsyncContextManager[None]:
        """Wraps work that cannot succeed without the present server: its loss makes it raise ServerDiedError."""
        return self._server_scopes.enter()

    def end_all(self) -> None:
        """End all calls: the connector is being shut down."""
        for call in tuple(self._calls):
            if not call.in_client:
                call.scope.end(call.make_error())

    def server_lost(self, death: ServerDiedError) -> None:
        """End the work that needs the server, which was lost."""
        self._server_scopes.end(lambda: for_prompt(death, None))
