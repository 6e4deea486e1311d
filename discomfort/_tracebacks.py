"""Errors without the library's own frames: a traceback ends at the line of the program that made the call.

An error's text says what happened and what helps. Its frames inside the library are of use only to those who work on
it, so they go to the log (level DEBUG).
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from discomfort.exceptions import DiscomfortError

_log = logging.getLogger("discomfort._tracebacks")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class HiddenFrames:
    """``with HiddenFrames():`` hides the frames of what the block raises, that of the block's own function included."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DiscomfortError | FileNotFoundError | FileExistsError):
            hide_frames(error)
        elif error is not None and _is_cancellation(error):
            # Ctrl-C under asyncio.run prints it above the KeyboardInterrupt.
            error.__traceback__ = None


class FramelessBlock(AbstractAsyncContextManager[T]):
    """``async with FramelessBlock(block):`` is ``async with block:`` and hides the frames of what it raises."""

    def __init__(self, block: AbstractAsyncContextManager[T]) -> None:
        self._block = block

    async def __aenter__(self) -> T:
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        with HiddenFrames():
            handled = await self._block.__aexit__(kind, error, trace)
        if not handled:
            HiddenFrames().__exit__(kind, error, trace)
        return handled


def hide_frames(error: BaseException) -> None:
    """Take the frames from an error and its causes. They are logged before, at level DEBUG."""
    _log.debug("raised to the caller: %s", type(error).__name__, exc_info=error)
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        each.__traceback__ = None
        each = each.__cause__


def _is_cancellation(error: BaseException) -> bool:
    # asyncio is not imported for this: the editor works without an event loop, and then nothing is cancelled.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def without_frames(function: F) -> F:
    """Decorates a function or coroutine function that programs call."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with HiddenFrames():
                return await function(*args, **kwargs)

        return awaited  # type: ignore[return-value]

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        with HiddenFrames():
            return function(*args, **kwargs)

    return called  # type: ignore[return-value]
