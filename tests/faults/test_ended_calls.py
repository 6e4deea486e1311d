"""Calls of a workflow's function that somebody ends: a typed error at once, and no upload is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Prompt, node
from faults.traces import Trace
from waiting import until

from discomfort import ComfyConnector
from discomfort.exceptions import ExecutionError, ExecutionInterrupted, RunTimeout, ServerDiedError, StateError

WAITING: Prompt = {
    "1": node("LoadImage", image="none.png"),
    "2": node("PreviewImage", images=["1", 0]),
    "3": node("ContractGate", "Gate", path="", seconds=60.0, deaf=False),
}
FAILING: Prompt = {
    "1": node("LoadImage", image="none.png"),
    "2": node("PreviewImage", images=["1", 0]),
    "3": node("ContractFail", kind="ValueError", message="boom"),
}
NAMES = {"inputs": {"image": "1.image"}}
PICTURE = np.zeros((8, 8, 3), np.uint8)


def _kill(connector: ComfyConnector) -> None:
    supervisor = connector._parts.supervisor
    assert supervisor is not None
    psutil.Process(supervisor.pid).kill()


async def test_ends_of_a_call(emulator: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Failure, cancellation, timeout, a dead server, a shutdown: the call ends, and its file goes, each time."""
    settings: Any = {**emulator.settings, "browser": "lazy", "on_server_death": "restart"}
    connector = await ComfyConnector.create(**settings)
    waiting = await connector.load(WAITING, {"inputs": {**NAMES["inputs"], "path": "Gate.path"}})
    gates = iter(tmp_path / f"gate{number}" for number in range(9))

    def uploads() -> list[Path]:
        return [path for path in (emulator.home / "input").rglob("*") if path.is_file()]

    async def ended(end: Callable[[asyncio.Task[Any]], object]) -> BaseException | None:
        """The error of a call that ``end`` ends while its node waits."""
        gate = next(gates)
        call = asyncio.create_task(waiting(image=PICTURE, path=str(gate)))
        await until(Path(f"{gate}.entered").exists)
        assert len(uploads()) == 1
        end(call)
        done, _ = await asyncio.wait([call], timeout=60)
        assert done
        assert uploads() == []
        return asyncio.CancelledError() if call.cancelled() else call.exception()

    assert isinstance(await ended(lambda call: call.cancel()), asyncio.CancelledError)
    with pytest.raises(RunTimeout):
        await waiting.with_options(timeout=1.0)(image=PICTURE, path=str(next(gates)))
    assert uploads() == []
    with pytest.raises(ExecutionError, match="boom"):
        await (await connector.load(FAILING, NAMES))(image=PICTURE)
    assert uploads() == []
    assert isinstance(await ended(lambda call: _kill(connector)), ServerDiedError)
    # The function outlives the server: the next call waits for a new one.
    shutdown: list[asyncio.Future[None]] = []
    error = await ended(lambda call: shutdown.append(asyncio.ensure_future(connector.kill_api())))
    assert isinstance(error, ExecutionInterrupted)
    await shutdown[0]
    with pytest.raises(StateError):
        await waiting(image=PICTURE, path="")
