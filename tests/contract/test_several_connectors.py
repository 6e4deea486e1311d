"""Several connectors in one process: launched beside the process's own, each with its server, port and files."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import gate_prompt, show_prompt, texts_of
from ports import first_port

from discomfort import ComfyConnector, SyncConnector
from discomfort.exceptions import ExecutionInterrupted, StateError

# Each test starts two servers or more, and some a page: minutes for real ones where other programs run.
pytestmark = pytest.mark.timeout(400)

PORT = first_port(18888)


def settings_of(engine: EngineUnderTest, **more: Any) -> dict[str, Any]:
    """Settings for servers apart from the session's."""
    return {**engine.settings, "initial_port": PORT, "browser": "lazy", **more}


async def _sees_temporary_file(connector: ComfyConnector, source: Path) -> None:
    """The server has the temp folder that its connector writes to, though another one shares the base folder."""
    connector.upload_data(source, "temp", is_ephemeral=True)
    query = {"filename": source.name, "type": "temp"}
    async with aiohttp.ClientSession() as session, session.get(f"{connector.server_address}/view", params=query) as got:
        assert (got.status, await got.text()) == (200, "x")


async def test_launched_connectors_live_side_by_side(engine: EngineUnderTest, gate: Path, tmp_path: Path) -> None:
    """On one folder: each has its port and its uploads; the end of one is not the end of the others."""
    settings = settings_of(engine)
    first, second = await asyncio.gather(ComfyConnector.launch(**settings), ComfyConnector.launch(**settings))
    try:
        assert ComfyConnector.current() is None
        assert first.server_address != second.server_address
        histories = await asyncio.gather(
            *(one.run_workflow(show_prompt(number), False) for number, one in enumerate((first, second)))
        )
        assert [texts_of(history) for history in histories] == [["0"], ["1"]]
        source = tmp_path / "kept.txt"
        source.write_text("x")
        await _sees_temporary_file(first, source)
        mine = await first.upload(source, name="first.txt", ephemeral=True)
        theirs = await second.upload(source, name="second.txt", ephemeral=True)
        assert mine.path is not None
        assert theirs.path is not None
        run = await first.submit(gate_prompt(gate), False)
        await first.kill_api()
        with pytest.raises(ExecutionInterrupted):
            await run
        assert not mine.path.exists()
        assert theirs.path.exists()
        await _sees_temporary_file(second, source)
        assert texts_of(await second.run_workflow(show_prompt(2), False)) == ["2"]
    finally:
        await asyncio.gather(first.kill_api(), second.kill_api())


async def test_create_without_arguments_returns_the_living(engine: EngineUnderTest) -> None:
    """Whatever its configuration; other arguments are refused as before, and a launched one does not count."""
    settings = settings_of(engine)
    async with await ComfyConnector.launch(**settings), await ComfyConnector.create(**settings) as made:
        assert await ComfyConnector.create() is made
        assert await ComfyConnector.create(**settings) is made
        with pytest.raises(StateError, match="another configuration"):
            await ComfyConnector.create(**{**settings, "max_restarts": 7})
    assert ComfyConnector.current() is None


def test_sync_create_again_returns_the_living(engine: EngineUnderTest) -> None:
    """As in a notebook whose first cell is run again; after its end a new one is made."""
    settings = settings_of(engine)
    with SyncConnector.create(**settings) as made:
        assert SyncConnector.create(**settings) is made
        assert SyncConnector.create() is made
        assert SyncConnector.current() is made
        with pytest.raises(StateError, match="another configuration"):
            SyncConnector.create(**{**settings, "max_restarts": 7})
        with SyncConnector.launch(**settings) as other:
            assert other.server_address != made.server_address
            assert "ready" in repr(other)
        assert texts_of(made.run_workflow(show_prompt(3), False)) == ["3"]
    assert SyncConnector.current() is None
    with SyncConnector.create(**settings) as again:
        assert again is not made


def test_sync_runs_and_outputs(engine: EngineUnderTest, gate: Path, tmp_path: Path) -> None:
    """Submit, read, wait, cancel, find; outputs and results need no await."""
    with SyncConnector.launch(**settings_of(engine)) as sync:
        gated, cancelled = sync.submit(gate_prompt(gate), False), sync.submit(show_prompt(1), False)
        assert cancelled.cancel()
        with pytest.raises(ExecutionInterrupted, match="cancelled"):
            cancelled.wait()
        events = gated.events()
        assert next(events).prompt_id == gated.prompt_id
        assert sync.find(gated.prompt_id).prompt_id == gated.prompt_id
        assert sync.queue().running in {(gated.prompt_id,), ()}
        gate.touch()
        assert [type(event).__name__ for event in events][-1] == "Done"
        assert gated.wait().keys() == {gated.prompt_id}
        assert gated.done
        assert gated.status.success
        result = sync.run(show_prompt(1), {"ContractShow.value": 12})
        (output,) = result.outputs
        assert (output.read(), output.value, output.title) == (b"12", "12", "Show")
        assert output.save(tmp_path).read_bytes() == b"12"
        assert output.artifact().data == b"12"
        assert sync.read(sync.outputs(result.history)[0]) == b"12"
        assert "12" in result._repr_html_()
        assert sync.health().ok
        sync.interrupt()
        sync.free()


def test_sync_runs_after_the_end(engine: EngineUnderTest) -> None:
    """A run that ended keeps its result; a new connector can be made at once, also beside the end of the old one."""
    settings = settings_of(engine)
    with SyncConnector.create(**settings) as sync:
        run = sync.submit(show_prompt(5), False)
        history = run.wait()
        assert sync.find(run.prompt_id) != run
    assert run.wait() == history
    assert [type(event).__name__ for event in run.events()] == ["Done"]
    assert not run.cancel()
    ending = SyncConnector.create(**settings)
    thread = threading.Thread(target=ending.kill_api)
    thread.start()
    with SyncConnector.create(**settings) as again:
        again.release_now()
        with SyncConnector.create(**settings) as last:
            assert texts_of(last.run_workflow(show_prompt(6), False)) == ["6"]
    thread.join()
    assert [one.name for one in threading.enumerate() if one.name == "discomfort-sync"] == []


def test_sync_create_while_another_thread_ends_what_it_checks(
    engine: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end comes while ``create`` checks whether the living server is usable: it makes a new connector."""
    settings = settings_of(engine)
    ending = SyncConnector.create(**settings)
    startup, kill_api, release = ending.connector._startup, ending.kill_api, ending.connector._startup.release
    checks, waits = threading.Event(), threading.Event()

    async def check_for_ever() -> None:
        checks.set()
        await asyncio.Event().wait()

    async def release_once_create_waits() -> None:
        await asyncio.to_thread(waits.wait, 30)
        await release()

    def end_as_create() -> None:
        waits.set()
        kill_api()

    def end_in_the_check() -> None:
        assert checks.wait(60)
        kill_api()

    monkeypatch.setattr(startup, "ensure_initialized", check_for_ever)
    monkeypatch.setattr(startup, "release", release_once_create_waits)
    monkeypatch.setattr(ending, "kill_api", end_as_create)
    thread = threading.Thread(target=end_in_the_check)
    thread.start()
    with SyncConnector.create(**settings) as again:
        thread.join()
        assert again is not ending
        assert texts_of(again.run_workflow(show_prompt(6), False)) == ["6"]
