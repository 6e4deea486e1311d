"""Where calls are struck: a connector that is brought back into its state after each blow, or made anew."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
from contract.engines import EngineUnderTest
from contract.graphs import node, picture_workflow, record_of, show_prompt, texts_of
from faults.traces import Trace
from matrix.conftest import THROUGH_THE_BROWSER
from matrix.steps import Call, Outcome, Place, Strike, is_own, own_tasks, places
from matrix.strikes import KILL_SERVER, KILL_WATCHDOG, Blow, brief, judge
from matrix.test_browser_faults import chromiums
from waiting import has_ended, until

from discomfort import ComfyConnector
from discomfort.server.supervisor import Supervisor

log = logging.getLogger("matrix.sweep")

TRIES = 25
"""Fresh calls in which a place must be reached that an undisturbed call was seen at."""

BY_CHANCE = ("http_sessions.py",)
"""Files of places that a call need not come to: it opens a connection only if none is idle, which are closed after 15 s
by the clock. Such a place is struck at where it is reached; a log line says where it was not."""

MOST_PROBLEMS, LONGEST = 10, 240.0
"""A sweep that found as many problems, or took as many seconds over some, says so and ends: hangs would take hours."""

NEWS = 2.0
"""Seconds for the news of a killed server, where it was struck at all."""
SETTLED = 60.0
"""Seconds in which nothing of a call is left at work: a page of a real ComfyUI may still load, on a busy machine."""


def for_sweep(engine: EngineUnderTest, **more: Any) -> EngineUnderTest:
    """The engine for a sweep: each conversion takes the way through the browser, and restarts are not counted."""
    settings = {**engine.settings, **THROUGH_THE_BROWSER, "prompt_cache": "off", "max_restarts": 1000, **more}
    return replace(engine, settings=settings)


def thin(found: Sequence[Place], *, innermost: int) -> list[Place]:
    """One place for each end of that many lines, of the same task."""
    groups: dict[Place, Place] = {}
    for place in found:
        name = place[:1] if place[0].startswith("discomfort") else ()
        groups.setdefault((*name, *place[-innermost:]), place)
    return list(groups.values())


def one_per_module(found: Sequence[Place]) -> list[Place]:
    """One place for each file that a task stands in, for servers that take long to start."""
    return list({place[-1].partition(":")[0]: place for place in reversed(found)}.values())[::-1]


class Bench(Protocol):
    """What a sweep runs its calls on."""

    def victim(self) -> ComfyConnector | None:
        """The connector to strike at."""

    async def prepare(self) -> Call:
        """Bring everything into its state; the call that is to be struck."""

    async def aftermath(self, blow: Blow, outcome: Outcome) -> str | None:
        """See to what is left after a blow, if there was one; what is wrong, if anything."""

    async def discard(self) -> None:
        """Give up the present connector, however it is."""


async def sweep(bench: Bench, name: str, blow: Blow, found: Sequence[Place], spare: Sequence[Place] = ()) -> list[str]:
    """Strike a call at each of its places; returns what was wrong, a line each.

    At a place where the call has not started anything yet there is nothing to strike at. If that is so at all of them,
    the spare ones follow, up to the first with a victim.
    """
    began, hits, problems = time.monotonic(), 0, list[str]()
    for number, place in enumerate((*found, *spare)):
        if number >= len(found) and hits:
            break
        problem, hit = await _visit(bench, name, blow, place)
        hits += hit
        if problem:
            log.warning("%s", problem)
            problems.append(problem)
        if len(problems) >= MOST_PROBLEMS or (problems and time.monotonic() - began > LONGEST):
            problems.append(f"{name}, {blow.name}: given up, {max(0, len(found) - number - 1)} places were not visited")
            break
    seconds = time.monotonic() - began
    log.info("%s, %s: %d places, %d with a victim, %.1f s", name, blow.name, len(found), hits, seconds)
    if found and not hits:
        problems.append(
            f"{name}, {blow.name}: there was nothing to strike at, at any of {len(found) + len(spare)} places"
        )
    return problems


async def _visit(bench: Bench, name: str, blow: Blow, place: Place) -> tuple[str | None, bool]:
    for attempt in range(1, TRIES + 1):
        call = await bench.prepare()
        outcome = await Strike(place, blow.make(bench.victim)).run(call, patience=blow.patience)
        problem = judge(name, blow, place, outcome)
        try:
            left = await bench.aftermath(blow, outcome)
        except Exception as error:  # noqa: BLE001 - told with the place, and the sweep goes on
            left = f"afterwards {brief(error)}"
        if problem or left:
            await bench.discard()
            told = problem or f"{name}, {blow.name} at {' > '.join(place)}: ended with {short(outcome.end)}"
            return f"{told}; {left}" if left else told, outcome.struck
        if outcome.reached:
            return None, outcome.struck
        log.info("%s: call %d did not come to %s", name, attempt, " > ".join(place))
        if place[-1].startswith(BY_CHANCE):
            return None, False
    return f"{name}: {TRIES} calls did not come to {' > '.join(place)}", False


def short(end: object) -> str:
    """What a call ended with, in a few words."""
    return brief(end) if isinstance(end, BaseException) else "its result"


class CreateBench:
    """Calls of ``create``, each with a server of its own."""

    def __init__(self, engine: EngineUnderTest, trace: Trace) -> None:
        self._settings, self._trace = engine.settings, trace
        self._last: ComfyConnector | None = None

    def victim(self) -> ComfyConnector | None:
        """The connector that is being made; the last one where it has gone."""
        self._last = ComfyConnector.current() or self._last
        return self._last

    async def prepare(self) -> Call:
        """A start."""
        self._last = None

        async def create() -> ComfyConnector:
            return await ComfyConnector.create(**self._settings)

        return create

    async def find(self) -> list[Place]:
        """The places of an undisturbed start."""
        found = await places(await self.prepare(), libraries=False)
        await self.discard()
        return found

    async def aftermath(self, blow: Blow, outcome: Outcome) -> str | None:
        """A connector that was made works, unless it was shut down; then nothing of it is left."""
        end = outcome.end
        if isinstance(end, ComfyConnector):
            if outcome.struck and blow.name == KILL_SERVER.name and (supervisor := end._parts.supervisor) is not None:
                # A run that begins while the news is on its way would rightly raise ServerDiedError.
                await asyncio.wait([asyncio.ensure_future(supervisor.wait())], timeout=NEWS)
            assert not blow.survivable or await works(end), "the connector does not run prompts"
            await end.kill_api()
        if ComfyConnector.current() is not None:
            return "ComfyConnector.current() is still there"
        return await nothing_left(self._trace)

    async def discard(self) -> None:
        """Shut down what there is."""
        await end_of(ComfyConnector.current())


class SharedBench:
    """Calls on one connector, which is brought back into its state, and made anew where that fails or was the blow.

    ``make`` gives a ready connector, ``call`` is what is struck, ``before`` sets the scene for it.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[ComfyConnector]],
        call: Callable[[ComfyConnector], Coroutine[Any, Any, Any]],
        before: Callable[[ComfyConnector], Awaitable[None]],
        trace: Trace | None = None,
    ) -> None:
        self._make, self._call, self._before, self._trace = make, call, before, trace
        self._connector: ComfyConnector | None = None
        self._server: Supervisor | None = None
        self._resting: Counter[str] = Counter()

    def victim(self) -> ComfyConnector | None:
        """The connector."""
        return self._connector

    async def prepare(self) -> Call:
        """A connector in its state, and the call on it."""
        if self._connector is None:
            self._connector = await self._make()
            assert await works(self._connector)
            if not self._resting:
                await self._note_rest(self._connector)
        connector = self._connector
        await self._before(connector)
        self._server = connector._parts.supervisor
        return lambda: self._call(connector)

    async def _note_rest(self, connector: ComfyConnector) -> None:
        """Note what is at work after an undisturbed call, such as the watch over what the server offers."""
        await self._before(connector)
        await self._call(connector)
        await until(lambda: not self._connector_pending(), SETTLED)
        self._resting = own_tasks()

    def _connector_pending(self) -> int:
        client = self._connector._parts.client if self._connector is not None else None
        return client.pending if client is not None else 0

    async def find(self) -> list[Place]:
        """The places of an undisturbed call: what is seen in two, for a page may just be loaded beside one of them."""
        first = await places(await self.prepare(), libraries=False)
        second = set(await places(await self.prepare(), libraries=False))
        for place in (place for place in first if place not in second):
            log.info("seen in one of two calls, and not visited: %s", " > ".join(place))
        return [place for place in first if place in second]

    async def aftermath(self, blow: Blow, outcome: Outcome) -> str | None:
        """Nothing is pending; it works again, without anything more at work than before, or is gone altogether."""
        connector = self._connector
        assert connector is not None
        if pending := self._connector_pending():
            return f"{pending} run(s) pending"
        if connector.state == "killed" or (outcome.reached and not blow.survivable):
            await self.discard()
            return await nothing_left(self._trace) if self._trace is not None else None
        if outcome.struck:
            await self._heal(connector, blow)
        assert await works(connector), "the next run is wrong"
        return await self._at_rest()

    async def _heal(self, connector: ComfyConnector, blow: Blow) -> None:
        """What a program need not do, but a test that wants to know what comes of the next run."""
        parts, server = connector._parts, self._server
        if blow is KILL_SERVER and server is not None:
            # A run that is sent before the system has ended the server fails with it.
            await until(lambda: parts.supervisor is not server or not server.running, SETTLED)
        if blow is KILL_WATCHDOG:
            # It is replaced when there is something to tell it.
            connector.upload_data(__file__, is_ephemeral=True, overwrite=True)
            assert parts.watchdog is not None
            assert parts.watchdog.running, "the watchdog was not replaced"

    async def _at_rest(self) -> str | None:
        try:
            await until(lambda: not own_tasks() - self._resting, SETTLED)
        except TimeoutError:
            return f"still at work: {', '.join(sorted(own_tasks() - self._resting))}"
        return None

    async def discard(self) -> None:
        """Shut the connector down."""
        connector, self._connector = self._connector, None
        await end_of(connector)


async def end_of(connector: ComfyConnector | None) -> None:
    """Shut down, by force where it takes too long."""
    if connector is None:
        return
    try:
        async with asyncio.timeout(180):
            await connector.kill_api()
    except Exception as error:  # noqa: BLE001 - it is beyond repair, and must not disturb the next
        log.warning("a connector that was given up: %s", brief(error))
        connector.release_now()


async def nothing_left(trace: Trace) -> str | None:
    """What is left of a connector that ended, after a moment for what the system still has to do."""
    left = trace.left()
    if left and (left := await trace.settle()):
        # Told once: the next place is not to blame for it.
        for process in trace.record():
            process.kill()
        for path in trace.folder.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        return f"left behind: {'; '.join(left[:5])}{f' and {len(left) - 5} more' if len(left) > 5 else ''}"
    if tasks := own_tasks():
        for task in asyncio.all_tasks():
            if is_own(task):
                task.cancel()
        return f"still at work: {', '.join(sorted(tasks))}"
    return None


_numbers = itertools.count(1)


async def works(connector: ComfyConnector) -> bool:
    """Whether the next run is right."""
    value = next(_numbers)
    async with asyncio.timeout(180):
        return texts_of(await connector.run_workflow(show_prompt(value), False)) == [str(value)]


# --- the calls: each checks its own result -------------------------------------------------------------------------


async def run_prompt(connector: ComfyConnector) -> None:
    """``run_workflow`` of a prompt."""
    value = next(_numbers)
    texts = texts_of(await connector.run_workflow(show_prompt(value), False))
    assert texts == [str(value)], texts


async def run_picture(connector: ComfyConnector) -> None:
    """``run_workflow`` of a workflow, through the browser."""
    colour = next(_numbers)
    record = record_of(await connector.run_workflow(picture_workflow(colour)))
    assert record["status"]["completed"] is True
    assert record["prompt"][2]["1"]["inputs"]["color"] == colour, record["prompt"]


async def convert(connector: ComfyConnector) -> None:
    """``get_prompt_from_workflow``."""
    colour = next(_numbers)
    prompt = await connector.get_prompt_from_workflow(picture_workflow(colour))
    assert prompt["1"]["inputs"]["color"] == colour, prompt


async def explain(connector: ComfyConnector) -> None:
    """``explain``."""
    colour = next(_numbers)
    explanation = await connector.explain(picture_workflow(colour))
    assert explanation.path == "browser"
    assert explanation.prompt["1"]["inputs"]["color"] == colour, explanation


async def edit(connector: ComfyConnector) -> None:
    """``edit``."""
    value = next(_numbers)
    editor = (await connector.edit(picture_workflow(1))).set("EmptyImage.color", value)
    assert editor.payload["nodes"][0]["widgets_values"][3] == value, editor.payload


async def load_and_call(connector: ComfyConnector) -> None:
    """``load``, and a call of the function with a picture; no upload of an earlier call is left."""
    engine = connector._parts.engine
    assert engine is None or not list(Path(engine.folders.input).rglob("*-image.png"))
    prompt = {"1": node("LoadImage", image=""), "2": node("PreviewImage", "Out", images=["1", 0])}
    show = await connector.load(prompt, {"inputs": {"image": "1.image"}})
    picture = np.full((4, 4, 3), next(_numbers) % 256, np.uint8)
    result = await show(image=picture)
    assert len(result.out) == 1, result


# --- the state before a call ---------------------------------------------------------------------------------------


async def as_it_is(_: ComfyConnector) -> None:
    """Nothing is done."""


async def without_definitions(connector: ComfyConnector) -> None:
    """The client has to ask the server for its node definitions."""
    client = connector._parts.client
    assert client is not None
    client.forget_definitions()


async def with_a_page(connector: ComfyConnector) -> None:
    """A page is loaded and free."""
    await connector._parts.get_converter().wait_page()


async def without_browser(connector: ComfyConnector) -> None:
    """The browser is dead: the next conversion launches another, and loads a page."""
    # The same state before every call: with a browser that was never launched, other lines would be reached.
    await with_a_page(connector)
    victims = [process for main in chromiums() for process in [*main.children(recursive=True), main]]
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):  # one of Chromium's own, which ends with another
            process.kill()
    for process in victims:
        await until(lambda process=process: has_ended(process), SETTLED)
    converter = connector._parts.converter
    assert converter is not None
    await until(lambda: not converter.healthy, SETTLED)
