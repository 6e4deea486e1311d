"""The calls under way on a connector, and how a shutdown or the loss of the server ends them.

A call may wait at any of dozens of places: for a page, a thread, a definition, a restart. Each of these parts fails
its own waiters; the scopes here guarantee it for all places at once. Apart from its caller, two things end a call: the
shutdown of the connector, and the loss of the server while the call needs that server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from discomfort._system.concurrency import EndableScope, EndableScopes
from discomfort._tracebacks import FramelessBlock
from discomfort.connector.recovery import for_prompt
from discomfort.exceptions import ServerDiedError


@dataclass(slots=True, eq=False)
class Call:
    """One call; ``make_error`` makes the error that it raises when the connector is shut down.

    While ``in_client`` is set, the client ends the run itself, since it must also take the prompt off the server.
    """

    make_error: Callable[[], BaseException]
    scope: EndableScope = field(default_factory=EndableScope)
    in_client: bool = False


class Calls:
    """Keeps the calls under way. For the event loop's thread only."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()
        self._server_scopes = EndableScopes()

    def open(self, make_error: Callable[[], BaseException]) -> AbstractAsyncContextManager[Call]:
        """Wraps one call: a shutdown makes it raise ``make_error()`` wherever it waits. Its errors have no frames."""
        return FramelessBlock(self._open(make_error))

    @asynccontextmanager
    async def _open(self, make_error: Callable[[], BaseException]) -> AsyncIterator[Call]:
        call = Call(make_error)
        self._calls.add(call)
        try:
            async with call.scope:
                yield call
        finally:
            self._calls.discard(call)

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
