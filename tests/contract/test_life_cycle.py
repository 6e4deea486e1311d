"""One instance per process: create twice, at once, differently, again, in another loop; states and shutdown."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Recorder, gate_prompt, show_prompt, texts_of
from ports import first_port

from discomfort import ComfyConnector, Discomfort
from discomfort.exceptions import ConfigurationError, ExecutionInterrupted, StateError

PORT = first_port(18488)


def lazily(engine: EngineUnderTest, **more: Any) -> dict[str, Any]:
    """Settings for a second server of the engine, with no browser before it is needed."""
    return {**engine.settings, "initial_port": PORT, "browser": "lazy", **more}


async def test_single_instance(engine: EngineUnderTest, gate: Path) -> None:
    """Calls at once and again give one instance; another configuration is refused; killed, it can be made anew."""
    settings = lazily(engine)
    first, second, third = await asyncio.gather(*(ComfyConnector.create(**settings) for _ in range(3)))
    assert first is second is third
    assert await ComfyConnector.create(**settings) is first
    with pytest.raises(StateError, match="configuration"):
        await ComfyConnector.create(**{**settings, "initial_port": PORT + 50})
    assert first.state == "ready"

    supervisor = first._parts.supervisor
    assert supervisor is not None
    events = Recorder()
    run = asyncio.create_task(first.run_workflow(gate_prompt(gate), False, on_progress=events))
    await events.running()
    await asyncio.gather(first.kill_api(), first.kill_api())
    with pytest.raises(ExecutionInterrupted):
        await run
    assert first.state == "killed"
    assert not psutil.pid_exists(supervisor.pid)
    for call in (first.run_workflow(show_prompt(1), False), first.get_prompt_from_workflow({}), first.edit({})):
        with pytest.raises(StateError):
            await call
    with pytest.raises(StateError):
        first.upload_data(__file__)
    await first.kill_api()

    again = await ComfyConnector.create(**settings)
    assert again is not first
    assert texts_of(await again.run_workflow(show_prompt(2), False)) == ["2"]
    # Created while the former one is still being released: waits for that, then starts.
    closing = asyncio.create_task(again.kill_api())
    await asyncio.sleep(0)
    async with await ComfyConnector.create(**settings) as last:
        assert closing.done()
        assert last is not again
        assert texts_of(await last.run_workflow(show_prompt(3), False)) == ["3"]
    assert last.state == "killed"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_instance_of_a_closed_loop_is_released_first(engine: EngineUnderTest) -> None:
    """A connector whose loop was closed without kill_api is cleared away by the next create."""

    async def forgetful() -> ComfyConnector:
        return await ComfyConnector.create(**lazily(engine))

    async def next_program(old: ComfyConnector, old_pid: int) -> None:
        async with await ComfyConnector.create(**lazily(engine)) as connector:
            assert connector is not old
            assert old.state == "killed"
            assert not psutil.pid_exists(old_pid)
            assert texts_of(await connector.run_workflow(show_prompt(4), False)) == ["4"]

    old = asyncio.run(forgetful())
    assert old._parts.supervisor is not None
    asyncio.run(next_program(old, old._parts.supervisor.pid))
    # What a forgetful program never closed complains when it is collected: here, and not in a later test.
    del old
    gc.collect()


def test_instance_in_another_running_loop_is_refused(engine: EngineUnderTest) -> None:
    """An instance that lives in another loop is used there or not at all."""

    async def elsewhere() -> None:
        async with await ComfyConnector.create(**lazily(engine)) as connector:

            def in_a_thread() -> None:
                with pytest.raises(StateError, match="loop"):
                    asyncio.run(_create(lazily(engine)))
                with pytest.raises(StateError, match="loop"):
                    asyncio.run(connector.run_workflow(show_prompt(5), False))

            await asyncio.to_thread(in_a_thread)
            assert texts_of(await connector.run_workflow(show_prompt(6), False)) == ["6"]

    asyncio.run(elsewhere())


async def _create(settings: dict[str, Any]) -> ComfyConnector:
    return await ComfyConnector.create(**settings)


async def test_discomfort_is_the_recommended_way_in(engine: EngineUnderTest, tmp_path: Path) -> None:
    """``Discomfort.create(config_path)`` with every documented key; its Worker is the connector; shutdown ends it."""
    config = {
        "API_WORKING_DIRECTORY": str(engine.home),
        "API_URL": "127.0.0.1",
        "TEST_PAYLOAD_FILE": str(tmp_path / "own_test.json"),
        "MAX_COMFY_START_ATTEMPTS": 10,
        "COMFY_START_ATTEMPTS_SLEEP": 1.0,
        **engine.config(),
        "INITIAL_PORT": PORT,
        "BROWSER": "lazy",
    }
    (tmp_path / "own_test.json").write_text(json.dumps(show_prompt(99)))
    path = tmp_path / "my_comfy_config.json"
    path.write_text(json.dumps(config))
    discomfort = await Discomfort.create(str(path))
    worker = discomfort.Worker
    assert isinstance(worker, ComfyConnector)
    assert await ComfyConnector.create(str(path)) is worker
    assert int(worker.server_address.rpartition(":")[2]) >= PORT
    assert texts_of(await worker.run_workflow(show_prompt(7), False)) == ["7"]
    await discomfort.shutdown()
    await discomfort.shutdown()
    assert worker.state == "killed"


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "INITIAL_PORT": {"INITIAL_PORT": 70000},
    "MAX_COMFY_START_ATTEMPTS": {"MAX_COMFY_START_ATTEMPTS": 0},
    "COMFY_START_ATTEMPTS_SLEEP": {"COMFY_START_ATTEMPTS_SLEEP": "soon"},
    "API_URL": {"API_URL": "http://host:8188/"},
    "API_COMMAND_LINE": {"API_COMMAND_LINE": "  "},
    "COMFYUI_PATH": {"COMFYUI_PATH": "/nowhere/ComfyUI"},
    "API_WORKING_DIRECTORY": {"API_WORKING_DIRECTORY": "/nowhere/ComfyUI"},
    "INITIAL_POTR": {"INITIAL_POTR": 8188},
}


@pytest.mark.parametrize("key", BAD_SETTINGS)
async def test_wrong_configuration_is_named(tmp_path: Path, key: str) -> None:
    """Key, value and file are in the error; a misspelt key comes with the nearest known one; nothing is started."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(BAD_SETTINGS[key]))
    with pytest.raises(ConfigurationError) as caught:
        await ComfyConnector.create(path)
    assert key in str(caught.value)
    assert isinstance(caught.value, ValueError)
    if key == "INITIAL_POTR":
        assert "INITIAL_PORT" in str(caught.value)
    assert ComfyConnector.current() is None


@pytest.mark.parametrize("content", ["", "[1]", "{", "null"])
async def test_configuration_that_is_no_object(tmp_path: Path, content: str) -> None:
    """A configuration file must hold a JSON object."""
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        await ComfyConnector.create(path)


async def test_configuration_that_is_missing(tmp_path: Path) -> None:
    """A named file that is not there is the builtin error."""
    with pytest.raises(FileNotFoundError):
        await ComfyConnector.create(str(tmp_path / "missing.json"))
