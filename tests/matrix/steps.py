"""Cancel a call at every await that it leads through, its own and those of the tasks that work for it.

A watch on the event loop's tasks sees each suspension. A *place* is the chain of lines at which a task of the package
is suspended, down into the libraries that it uses; a loop that comes by again is the same place. :func:`places` of a
call that is left alone are what a sweep has to go through; :class:`Cancel` cancels the caller's task at the first
suspension in one of them. Where a call is short, a sweep goes through all its suspensions instead, one by one.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Self

import discomfort

PACKAGE = str(Path(discomfort.__file__).parent)
Place = tuple[str, ...]


class Watch:
    """While it is on, ``seen`` is called with the place of every suspension of every task that was made meanwhile."""

    def __init__(self, seen: Callable[[Place], None], *, libraries: bool = True) -> None:
        self._seen, self._libraries = seen, libraries
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._loop.set_task_factory(self._make)  # type: ignore[arg-type]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.set_task_factory(None)

    def _make(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        watched = self._drive(coro) if inspect.iscoroutine(coro) else coro
        return asyncio.Task(watched, loop=loop, **options)

    async def _drive(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return await self._steps(coro)

    @types.coroutine
    def _steps(self, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                waited = coro.send(value) if error is None else coro.throw(error)
            except StopIteration as end:
                return end.value
            place = place_of(coro, libraries=self._libraries)
            if place:
                self._seen(place)
            value, error = None, None
            try:
                value = yield waited
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - handed to the coroutine, as its task would
                error = thrown


def place_of(coro: Any, *, libraries: bool = True) -> Place:
    """The lines at which a suspended coroutine stands, outermost first; empty where none is of the package.

    Without ``libraries`` only the package's own lines count.
    """
    lines = []
    own = False
    inner: Any = coro
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "ag_frame", None) or getattr(inner, "gi_frame", None)
        if frame is not None:
            ours = frame.f_code.co_filename.startswith(PACKAGE)
            own = own or ours
            if ours or (libraries and own):
                lines.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        inner = (
            getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None) or getattr(inner, "gi_yieldfrom", None)
        )
    return tuple(lines)


async def places(call: Callable[[], Coroutine[Any, Any, Any]], *, libraries: bool = True) -> list[Place]:
    """All places of a call that nobody cancels, in the order in which they are first reached."""
    found: dict[Place, None] = {}
    with Watch(lambda place: found.setdefault(place, None), libraries=libraries):
        await asyncio.get_running_loop().create_task(call())
    return list(found)


class Cancel:
    """Runs a call and cancels it once: where it, or a task for it, first stands at ``place``, or at its ``nth`` await.

    ``reached`` tells whether it came to that.
    """

    def __init__(self, *, place: Place = (), nth: int = 0, libraries: bool = True) -> None:
        self._place, self._left, self._libraries = place, nth, libraries
        self.reached = False
        self._victim: asyncio.Task[Any] | None = None

    async def run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What the call ended with: its result or its exception."""
        with Watch(self._look, libraries=self._libraries):
            self._victim = asyncio.get_running_loop().create_task(call())
            return (await asyncio.gather(self._victim, return_exceptions=True))[0]

    def _look(self, place: Place) -> None:
        self._left -= 1
        if not self.reached and self._victim is not None and (place == self._place or self._left == 0):
            self.reached = True
            self._victim.cancel()
