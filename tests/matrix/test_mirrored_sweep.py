"""The sweep turned round: not the caller is ended at every await, but what the caller waits for.

A first, undisturbed call shows all places at which it and its tasks stand. At each of them another task shuts the
connector down, or the server, the browser or the watchdog is killed, the socket breaks, or the browser is restarted.
The call must then end at once with its right result or with an error that is documented for that, never with somebody
else's ``CancelledError`` and never not at all; nothing of it stays, and the next call works. What is documented for
which blow stands in ``strikes.py``. The log of the test run says how many places there were, and how long it took
(``-rP --log-level=INFO`` shows it).

On a real ComfyUI, whose starts take ten times as long, one place of each module stands for the others where a blow
costs a server. So it does on the emulator where each place costs a launch of Chromium. Blows after which a server or a
browser is started anew share the places: each place is visited, by one of them. This took half of the time of all
tests; ``SWEEP=all`` visits all places with all blows, and ``make faults`` sets it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from contract.engines import EngineUnderTest
from faults.traces import Trace
from matrix import bench as scenes
from matrix.bench import CreateBench, SharedBench, for_sweep, one_per_module, sweep, thin
from matrix.conftest import THROUGH_THE_BROWSER
from matrix.steps import Outcome, Place, ThreadStrike
from matrix.strikes import (
    KILL_API,
    KILL_BROWSER,
    KILL_SERVER,
    KILL_STARTING_BROWSER,
    KILL_WATCHDOG,
    LOSE_SOCKET,
    RESTART_BROWSER,
    Blow,
    judge,
)
from matrix.wire import Wire

from discomfort import ComfyConnector

pytestmark = pytest.mark.timeout(900)

VISITS_ALL = os.environ.get("SWEEP") == "all"

RunCall = Callable[[ComfyConnector], Coroutine[Any, Any, Any]]
Scene = Callable[[ComfyConnector], Awaitable[None]]

WITHOUT_BROWSER: dict[str, tuple[RunCall, Scene]] = {
    "run_workflow": (scenes.run_prompt, scenes.as_it_is),
    "edit": (scenes.edit, scenes.without_definitions),
}
if VISITS_ALL:
    WITHOUT_BROWSER["load"] = (scenes.load_and_call, scenes.as_it_is)
WITH_PAGE: dict[str, tuple[RunCall, Scene]] = {
    "run_workflow": (scenes.run_picture, scenes.with_a_page),
    "get_prompt_from_workflow": (scenes.convert, scenes.with_a_page),
    "explain": (scenes.explain, scenes.with_a_page),
}
FROM_NO_BROWSER: dict[str, tuple[RunCall, Scene]] = {
    "run_workflow": (scenes.run_picture, scenes.without_browser),
}
if VISITS_ALL:
    FROM_NO_BROWSER["get_prompt_from_workflow"] = (scenes.convert, scenes.without_browser)
    FROM_NO_BROWSER["explain"] = (scenes.explain, scenes.without_browser)


def affordable(engine: EngineUnderTest, found: Sequence[Place], blow: Blow) -> Sequence[Place]:
    """The places that are visited: all, but for blows that cost a start on a real ComfyUI."""
    costs_a_server = blow in (KILL_API, KILL_SERVER)
    return one_per_module(found) if engine.real and costs_a_server else found


CREATE_BLOWS = (KILL_API, KILL_SERVER, KILL_WATCHDOG, LOSE_SOCKET)
COSTLY_BLOWS = (KILL_BROWSER, RESTART_BROWSER, KILL_SERVER, KILL_API)
SERVER_BLOWS = (KILL_SERVER, KILL_API)
BROWSER_BLOWS = (KILL_BROWSER, RESTART_BROWSER)
LAUNCH_BLOWS = (KILL_STARTING_BROWSER, RESTART_BROWSER, KILL_SERVER, KILL_API)


def share(found: Sequence[Place], blow: Blow, among: Sequence[Blow]) -> Sequence[Place]:
    """This blow's part of the places, where several share them because each place costs a start."""
    return found if VISITS_ALL or blow not in among else found[among.index(blow) :: len(among)]


# --- create --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blow", CREATE_BLOWS, ids=lambda blow: blow.name)
async def test_ended_everywhere_in_create(any_engine: EngineUnderTest, trace: Trace, blow: Blow) -> None:
    """A start without browser: whatever ends, nothing is left of a start that fails, and one that succeeds works."""
    bench = CreateBench(for_sweep(any_engine, browser="lazy"), trace)
    found = await bench.find()
    assert len(found) > 15, found
    chosen = one_per_module(found) if any_engine.real else share(found, blow, CREATE_BLOWS)
    problems = await sweep(bench, "create", blow, chosen)
    assert not problems, "\n".join(problems)


@pytest.mark.browser
@pytest.mark.parametrize("blow", [KILL_API, KILL_SERVER, KILL_BROWSER, RESTART_BROWSER], ids=lambda blow: blow.name)
async def test_ended_everywhere_in_create_with_browser(any_engine: EngineUnderTest, trace: Trace, blow: Blow) -> None:
    """A start with browser, at what it does more than one without.

    What happens to a browser that is killed or restarted at each of these lines is seen from no browser, below; here
    one place of each module shows that the start, too, goes on or gives everything back.
    """
    plain = CreateBench(for_sweep(any_engine, browser="lazy"), trace)
    without = {place[-1] for place in await plain.find()}
    bench = CreateBench(for_sweep(any_engine), trace)
    found = thin([place for place in await bench.find() if place[-1] not in without], innermost=1)
    assert len(found) > 15, found
    few = any_engine.real or not VISITS_ALL or blow in BROWSER_BLOWS
    pair = SERVER_BLOWS if blow in SERVER_BLOWS else BROWSER_BLOWS
    chosen = share(one_per_module(found) if few else found, blow, pair)
    problems = await sweep(bench, "create", blow, chosen, [place for place in found if place not in chosen])
    assert not problems, "\n".join(problems)


# --- calls on a connector --------------------------------------------------------------------------------------------


@asynccontextmanager
async def on_own(
    engine: EngineUnderTest, trace: Trace, call: RunCall, scene: Scene, **settings: Any
) -> AsyncIterator[SharedBench]:
    """A bench on a connector with a server of its own."""
    chosen = for_sweep(engine, **settings).settings
    bench = SharedBench(lambda: ComfyConnector.create(**chosen), call, scene, trace)
    try:
        yield bench
    finally:
        await bench.discard()


@pytest.mark.parametrize("name", WITHOUT_BROWSER)
async def test_ended_everywhere_in_calls(any_engine: EngineUnderTest, trace: Trace, name: str) -> None:
    """Calls that need no browser."""
    call, scene = WITHOUT_BROWSER[name]
    problems = []
    async with on_own(any_engine, trace, call, scene, browser="lazy") as bench:
        found = await bench.find()
        assert len(found) >= 2, found
        for blow in (KILL_WATCHDOG, LOSE_SOCKET, KILL_SERVER, KILL_API):
            problems += await sweep(bench, name, blow, affordable(any_engine, found, blow))
    assert not problems, "\n".join(problems)


@pytest.mark.browser
@pytest.mark.parametrize("name", WITH_PAGE)
async def test_ended_everywhere_on_a_page(any_engine: EngineUnderTest, trace: Trace, name: str) -> None:
    """Conversions on a page that is ready."""
    call, scene = WITH_PAGE[name]
    problems = []
    async with on_own(any_engine, trace, call, scene) as bench:
        found = await bench.find()
        assert found
        for blow in (KILL_WATCHDOG, LOSE_SOCKET, KILL_BROWSER, RESTART_BROWSER, KILL_SERVER, KILL_API):
            chosen = affordable(any_engine, found, blow)
            problems += await sweep(bench, name, blow, chosen if any_engine.real else share(chosen, blow, COSTLY_BLOWS))
    assert not problems, "\n".join(problems)


@pytest.mark.browser
@pytest.mark.parametrize("name", FROM_NO_BROWSER)
async def test_ended_everywhere_from_no_browser(any_engine: EngineUnderTest, trace: Trace, name: str) -> None:
    """Conversions that launch a browser and load a page first: each kind at a part of the places, in turn."""
    turn, (call, scene) = list(FROM_NO_BROWSER).index(name), FROM_NO_BROWSER[name]
    problems = []
    async with on_own(any_engine, trace, call, scene, browser="lazy") as bench:
        found = thin(await bench.find(), innermost=1)
        assert len(found) > 10, found
        for blow in (KILL_STARTING_BROWSER, RESTART_BROWSER, KILL_SERVER, KILL_API):
            chosen = affordable(any_engine, found, blow)[turn :: len(FROM_NO_BROWSER)]
            if not VISITS_ALL:
                # Each costs a launch of Chromium, some of them two.
                chosen = share(one_per_module(chosen), blow, LAUNCH_BLOWS)[:1]
            problems += await sweep(bench, name, blow, chosen, [place for place in found if place not in chosen])
    assert not problems, "\n".join(problems)


# --- uploads, in a thread --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blow", [KILL_API, KILL_SERVER, KILL_WATCHDOG], ids=lambda blow: blow.name)
async def test_ended_everywhere_in_upload_data(
    any_engine: EngineUnderTest, trace: Trace, tmp_path: Path, blow: Blow
) -> None:
    """At every function that an upload in a thread comes to: it ends, and no ephemeral file outlives the connector."""
    source = tmp_path / "source.bin"
    source.write_bytes(b"x" * 5000)
    problems = []

    def upload(connector: ComfyConnector) -> str:
        return connector.upload_data(source, "input", uuid.uuid4().hex, False, True)

    async def undisturbed(connector: ComfyConnector) -> None:
        upload(connector)

    async with on_own(any_engine, trace, undisturbed, scenes.as_it_is, browser="lazy") as bench:

        async def strike(place: Place) -> Outcome:
            await bench.prepare()
            connector = bench.victim()
            assert connector is not None
            call = ThreadStrike(place, blow.make(bench.victim))
            outcome = await call.run(lambda: upload(connector))
            found.update(call.found)
            return outcome

        found: dict[Place, None] = {}
        await strike(())
        places = list(found)
        assert len(places) > 8, places
        # An upload needs no server, and a server costs a start.
        few = blow is KILL_SERVER or (blow is KILL_API and (any_engine.real or not VISITS_ALL))
        for place in places[:: max(1, len(places) // 6)] if few else places:
            outcome = await strike(place)
            problem = judge("upload_data", blow, place, outcome)
            left = await bench.aftermath(blow, outcome)
            files = [path for path in (any_engine.home / "input").rglob("*") if path.is_file()]
            if blow is KILL_API and files:
                left = f"{left or ''} left behind: {files[0].name}"
                files[0].unlink()
            if problem or left:
                end = f"upload_data, {blow.name} at {place[0]}: ended with {scenes.short(outcome.end)}"
                problems.append(f"{problem or end};{left or ''}")
            assert outcome.reached, f"upload_data did not come to {place}"
    assert not problems, "\n".join(problems)


# --- the socket, from the other side ---------------------------------------------------------------------------------


BEHIND_A_WIRE = {
    "run_workflow": (scenes.run_prompt, scenes.as_it_is),
    "edit": (scenes.edit, scenes.without_definitions),
    "get_prompt_from_workflow": (scenes.convert, scenes.with_a_page),
    "explain": (scenes.explain, scenes.with_a_page),
}


@pytest.mark.browser
async def test_socket_cut_everywhere_behind_a_wire(shared: ComfyConnector) -> None:
    """The server's end of each WebSocket breaks, on the way to a server that somebody else runs."""
    problems = []
    async with Wire(shared.server_address) as wire:

        def cut() -> bool:
            cuts = bool(wire._sockets)
            wire.cut()
            return cuts

        def attach() -> Coroutine[Any, Any, ComfyConnector]:
            return ComfyConnector.attach(wire.url, **THROUGH_THE_BROWSER, prompt_cache="off")

        blow = Blow("cut of the socket", lambda _: cut)
        for name, (call, scene) in BEHIND_A_WIRE.items():
            bench = SharedBench(attach, call, scene)
            try:
                problems += await sweep(bench, name, blow, await bench.find())
            finally:
                await bench.discard()
    assert not problems, "\n".join(problems)
