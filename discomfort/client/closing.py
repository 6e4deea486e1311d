"""Blocks of several tasks that somebody else ends together, as when their client is closed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from discomfort._system.concurrency import EndableScope


class EndableScopes:
    """``async with scopes.enter():`` in any number of tasks, and elsewhere ``scopes.end(error)`` or ``close(error)``.

    ``error`` makes an exception for each block, as one that several tasks raise would mix their tracebacks. For the
    loop's thread only.
    """

    def __init__(self) -> None:
        self._scopes: set[EndableScope] = set()
        self._closed: Callable[[], BaseException] | None = None

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed is not None

    @contextlib.asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """A block that :meth:`end` ends; after :meth:`close` it raises without being entered."""
        if self._closed is not None:
            raise self._closed()
        scope = EndableScope()
        self._scopes.add(scope)
        try:
            async with scope:
                yield
        finally:
            self._scopes.discard(scope)

    def end(self, error: Callable[[], BaseException]) -> None:
        """Make each block that is under way raise ``error()`` at once."""
        for scope in list(self._scopes):
            scope.end(error())

    def close(self, error: Callable[[], BaseException]) -> None:
        """As :meth:`end`, and let no block begin from now on. Idempotent: the first error counts."""
        if self._closed is None:
            self._closed = error
            self.end(error)
