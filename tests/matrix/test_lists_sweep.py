"""The mirrored sweep (see ``test_mirrored_sweep.py``) of ``Discomfort.run``, with a context that is looked at after it.

The call ends with its right result or with an error that is documented for the blow; its context then has whole commits
only, no file beside theirs, and what was in it before. What the next call needs of a dead server is made anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from contract.engines import EngineUnderTest
from faults.traces import Trace
from matrix import bench as scenes
from matrix.bench import for_sweep, sweep
from matrix.lists import END_CONTEXT, ListBench, run_list, run_through_the_page
from matrix.strikes import KILL_API, KILL_BROWSER, KILL_SERVER, KILL_WATCHDOG, LOSE_SOCKET, RESTART_BROWSER
from matrix.test_mirrored_sweep import COSTLY_BLOWS, RunCall, Scene, affordable, share

from discomfort import ComfyConnector

pytestmark = pytest.mark.timeout(900)
SLOW_BLOWS = (LOSE_SOCKET, KILL_SERVER, KILL_API)
"""After these the next call takes seconds. What is below ``run_workflow`` has its own sweeps."""
NAME = "Discomfort.run"


@asynccontextmanager
async def lists_on(
    engine: EngineUnderTest, trace: Trace, call: RunCall, scene: Scene, **settings: Any
) -> AsyncIterator[ListBench]:
    """A bench on a connector whose server has the nodes of ports."""
    chosen: Any = for_sweep(engine, **settings).settings
    bench = ListBench(lambda: ComfyConnector._create(None, chosen, loads_nodes=True), call, scene, trace)
    try:
        yield bench
    finally:
        await bench.discard()


async def test_ended_everywhere_in_a_list(any_engine: EngineUnderTest, trace: Trace) -> None:
    """Two prompts, with values in, between and out."""
    problems = []
    async with lists_on(any_engine, trace, run_list, scenes.as_it_is, browser="lazy") as bench:
        found = await bench.find()
        assert len(found) > 5, found
        for blow in (KILL_WATCHDOG, LOSE_SOCKET, END_CONTEXT, KILL_SERVER, KILL_API):
            chosen = affordable(any_engine, found, blow)
            problems += await sweep(bench, NAME, blow, chosen if any_engine.real else share(chosen, blow, SLOW_BLOWS))
    assert not problems, "\n".join(problems)


@pytest.mark.browser
async def test_ended_everywhere_in_a_workflow_with_ports(any_engine: EngineUnderTest, trace: Trace) -> None:
    """A workflow that is converted on a page that is ready."""
    problems = []
    async with lists_on(any_engine, trace, run_through_the_page, scenes.with_a_page) as bench:
        found = await bench.find()
        assert found
        for blow in (KILL_BROWSER, RESTART_BROWSER, END_CONTEXT, KILL_SERVER, KILL_API):
            chosen = affordable(any_engine, found, blow)
            problems += await sweep(bench, NAME, blow, chosen if any_engine.real else share(chosen, blow, COSTLY_BLOWS))
    assert not problems, "\n".join(problems)
