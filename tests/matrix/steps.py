"""Do something at every await that a call leads through, its own and those of the tasks that work for it.

A watch on the event loop's tasks sees each suspension. A *place* is the chain of lines at which a task of the package
is suspended, with the task's name where the package gave it one; a loop that comes by again is the same place.
:func:`places` of a call that is left alone are what a sweep has to go through. :class:`Cancel` cancels the caller's
task at the first suspension in one of them, :class:`Strike` ends something that the call needs.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import types
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import discomfort

PACKAGE = str(Path(discomfort.__file__).parent)
Place = tuple[str, ...]
Call = Callable[[], Coroutine[Any, Any, Any]]

LIMIT = 5.0
"""Seconds in which a call whose resource is gone must have ended."""

_UNTOUCHED = 120.0
"""Seconds for a call that nothing was done to yet; only a hang takes that long."""

_watched: weakref.WeakKeyDictionary[asyncio.Task[Any], Any] = weakref.WeakKeyDictionary()
"""The coroutines of the tasks that were made under a watch: the tasks themselves run its wrapper."""


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
        if not inspect.iscoroutine(coro):
            return asyncio.Task(coro, loop=loop, **options)
        task = asyncio.Task(self._drive(coro), loop=loop, **options)
        _watched[task] = coro
        # One that is cancelled before its first step never comes to the coroutine.
        task.add_done_callback(lambda _: coro.close())
        return task

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
                self._seen((*_own_name(), *place))
            value, error = None, None
            try:
                value = yield waited
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - handed to the coroutine, as its task would
                error = thrown


def _own_name() -> Place:
    # A task has its name only after it was made.
    task = asyncio.current_task()
    name = task.get_name() if task is not None else ""
    return (name,) if name.startswith("discomfort") else ()


def place_of(coro: Any, *, libraries: bool = True) -> Place:
    """The lines at which a suspended coroutine stands, outermost first; empty where none is of the package.

    Without ``libraries`` only the package's own lines count.
    """
    lines = []
    own = False
    for frame in _frames(coro):
        ours = frame.f_code.co_filename.startswith(PACKAGE)
        own = own or ours
        if ours or (libraries and own):
            lines.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
    return tuple(lines)


def _frames(coro: Any) -> Generator[types.FrameType, None, None]:
    inner = coro
    while inner is not None:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "ag_frame", None) or getattr(inner, "gi_frame", None)
        if frame is not None:
            yield frame
        inner = (
            getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None) or getattr(inner, "gi_yieldfrom", None)
        )


def place_of_task(task: asyncio.Task[Any]) -> Place:
    """Where a task stands in the package."""
    return place_of(_coroutine(task), libraries=False)


def own_tasks() -> Counter[str]:
    """The tasks that run a coroutine of the package, by its name."""
    return Counter(_coroutine(task).__qualname__ for task in asyncio.all_tasks() if is_own(task))


def is_own(task: asyncio.Task[Any]) -> bool:
    """Whether a task runs a coroutine of the package."""
    code = getattr(_coroutine(task), "cr_code", None)
    return code is not None and code.co_filename.startswith(PACKAGE) and not task.done()


def _coroutine(task: asyncio.Task[Any]) -> Any:
    return _watched.get(task) or task.get_coro()


async def places(call: Call, *, libraries: bool = True) -> list[Place]:
    """All places of a call that nobody disturbs, in the order in which they are first reached."""
    found: dict[Place, None] = {}
    with Watch(lambda place: found.setdefault(place, None), libraries=libraries):
        await asyncio.get_running_loop().create_task(call())
    return list(found)


class Cancel:
    """Runs a call and cancels it once: where it, or a task for it, first stands at ``place``, or at its ``nth`` await.

    ``reached`` says whether it came to that, ``delivered`` whether the call had no result yet.
    """

    def __init__(self, *, place: Place = (), nth: int = 0, libraries: bool = True) -> None:
        self._place, self._left, self._libraries = place, nth, libraries
        self.reached = self.delivered = False
        self._victim: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        return f"<Cancel at {' > '.join(self._place) or 'an await'} reached={self.reached} delivered={self.delivered}>"

    async def run(self, call: Call) -> Any:
        """What the call ended with: its result or its exception."""
        with Watch(self._look, libraries=self._libraries):
            self._victim = asyncio.get_running_loop().create_task(call())
            end = (await asyncio.gather(self._victim, return_exceptions=True))[0]
        cancelled = isinstance(end, asyncio.CancelledError)
        assert cancelled == self.delivered, f"{self!r}: {end!r}"
        assert cancelled or not isinstance(end, BaseException), f"{self!r}: {end!r}"
        return end

    def _look(self, place: Place) -> None:
        self._left -= 1
        if not self.reached and self._victim is not None and (place == self._place or self._left == 0):
            self.reached = True
            self.delivered = self._victim.cancel()


@dataclass(frozen=True)
class Outcome:
    """How a call ended that was struck: with ``end`` after ``seconds``; ``stood`` is where it was after :data:`LIMIT`.

    ``reached`` says whether it came to its place, ``struck`` whether there was anything to strike at.
    """

    reached: bool
    struck: bool
    end: Any
    seconds: float
    stood: Place = ()
    blow: BaseException | None = None


class Strike:
    """Runs a call and deals it one blow: where it, or a task for it, first stands at ``place``.

    ``blow`` ends something that the call needs, and returns whether there was such a thing; a coroutine function is run
    as another task of the program.
    """

    def __init__(self, place: Place, blow: Callable[[], Any]) -> None:
        self._place, self._blow = place, blow
        self._loop = asyncio.get_running_loop()
        self._struck = asyncio.Event()
        self._at = 0.0
        self._hit = False
        self._other: asyncio.Task[Any] | None = None

    async def run(self, call: Call, *, patience: float = LIMIT) -> Outcome:
        """Run the call; it is cancelled ``patience`` seconds after the blow."""
        with Watch(self._look, libraries=False):
            victim = self._loop.create_task(call())
            struck = asyncio.Task(self._struck.wait(), loop=self._loop)
            await asyncio.wait({victim, struck}, timeout=_UNTOUCHED, return_when=asyncio.FIRST_COMPLETED)
            struck.cancel()
            stood = await self._await_end(victim, patience)
            seconds = self._loop.time() - self._at if self._struck.is_set() else 0.0
            end = (await asyncio.gather(victim, return_exceptions=True))[0]
            blow = (await asyncio.gather(self._other, return_exceptions=True))[0] if self._other else None
        failure = blow if isinstance(blow, BaseException) else None
        return Outcome(self._struck.is_set(), self._hit, end, seconds, stood, failure)

    async def _await_end(self, victim: asyncio.Task[Any], patience: float) -> Place:
        """Wait for the call's end; where it stood when its time was over, if it did not end in it."""
        await asyncio.wait({victim}, timeout=min(LIMIT, patience))
        stood = () if victim.done() else place_of_task(victim) or ("somewhere",)
        await asyncio.wait({victim}, timeout=max(0.0, patience - LIMIT))
        if not victim.done():
            victim.cancel()
        return stood

    def _look(self, place: Place) -> None:
        if place != self._place or self._struck.is_set():
            return
        self._struck.set()
        self._at = self._loop.time()
        if inspect.iscoroutinefunction(self._blow):
            self._other = asyncio.Task(self._blow(), loop=self._loop)
            self._hit = True
        else:
            self._hit = bool(self._blow())


class ThreadStrike:
    """Runs a call in a thread and deals it one blow, where it first enters the function ``place`` of the package.

    Without a place it only notes in ``found`` all that it enters. The thread stands still until the blow has ended, or
    for :data:`STANDSTILL` where that itself waits for the thread.
    """

    STANDSTILL = 0.5

    def __init__(self, place: Place = (), blow: Callable[[], Any] | None = None) -> None:
        self._place, self._blow = place, blow
        self._loop = asyncio.get_running_loop()
        self._dealt = threading.Event()
        self._hit = False
        self._at = 0.0
        self._other: asyncio.Task[Any] | None = None
        self.found: dict[Place, None] = {}

    async def run(self, call: Callable[[], Any]) -> Outcome:
        """Run the call in a thread of asyncio's."""
        (end,) = await asyncio.gather(asyncio.to_thread(self._traced, call), return_exceptions=True)
        seconds = self._loop.time() - self._at if self._at else 0.0
        blow = (await asyncio.gather(self._other, return_exceptions=True))[0] if self._other else None
        failure = blow if isinstance(blow, BaseException) else None
        return Outcome(self._place in self.found, self._hit, end, seconds, (), failure)

    def _traced(self, call: Callable[[], Any]) -> Any:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return call()
        finally:
            sys.settrace(before)

    def _trace(self, frame: types.FrameType, _event: str, _argument: object) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return
        place = (f"{Path(code.co_filename).name}:{code.co_qualname}",)
        is_new = place not in self.found
        self.found[place] = None
        if is_new and place == self._place:
            self._at = self._loop.time()
            self._loop.call_soon_threadsafe(self._deal)
            self._dealt.wait(self.STANDSTILL)

    def _deal(self) -> None:
        assert self._blow is not None
        if inspect.iscoroutinefunction(self._blow):
            self._hit = True
            self._other = self._loop.create_task(self._blow())
            self._other.add_done_callback(lambda _: self._dealt.set())
        else:
            self._hit = bool(self._blow())
            self._dealt.set()
