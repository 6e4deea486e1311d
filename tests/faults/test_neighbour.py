"""A ComfyUI that the user runs from the same folder at the same time is not disturbed."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from contract.engines import EngineUnderTest
from contract.graphs import gate_prompt, picture_prompt, picture_workflow, record_of, show_prompt
from faults.traces import MARK, Trace
from ports import first_port

from discomfort import ComfyConnector
from discomfort.server.ports import lease_port


def command(engine: EngineUnderTest, port: int) -> list[str]:
    """How a person would start the server of that folder by hand."""
    words = shlex.split(engine.settings["api_command_line"])
    if engine.real:
        own = (engine.home / name / "bin" / "python" for name in (".venv", "venv"))
        words[0] = next(str(path) for path in (*own, Path(sys.executable)) if path.exists())
    return [*words, "--port", str(port)]


async def answers(session: aiohttp.ClientSession) -> None:
    """Wait until the server of ``session`` answers."""
    async with asyncio.timeout(90):
        while True:
            try:
                async with session.get("/prompt") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def queue(session: aiohttp.ClientSession, prompt: dict[str, Any]) -> str:
    """Queue a prompt as somebody else; returns its id."""
    async with session.post("/prompt", json={"prompt": prompt}) as response:
        answer = await response.json()
    assert response.status == 200, answer
    return str(answer["prompt_id"])


async def record(session: aiohttp.ClientSession, prompt_id: str) -> dict[str, Any]:
    """The record of a prompt when it has ended."""
    async with asyncio.timeout(30):
        while True:
            async with session.get(f"/history/{prompt_id}") as response:
                history = await response.json()
            if history:
                return dict(history[prompt_id])
            await asyncio.sleep(0.02)


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    """The JSON of a route."""
    async with session.get(path) as response:
        return await response.json()


@pytest.mark.browser
async def test_neighbour_is_as_before(any_engine: EngineUnderTest, trace: Trace, tmp_path: Path) -> None:
    """Its process, port, queue, run, history, settings and temporary files outlast a whole life of a connector."""
    lease = lease_port("127.0.0.1", first_port(19300))
    port = lease.port
    lease.release()
    neighbour = await asyncio.create_subprocess_exec(
        *command(any_engine, port), cwd=any_engine.home,
        env={key: value for key, value in os.environ.items() if key != MARK} | {"TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await answers(session)
            async with session.post("/settings", json={"Comfy.Mine": [1, 2]}) as response:
                assert response.status == 200
            preview = (await record(session, await queue(session, picture_prompt())))["outputs"]["2"]["images"][0]
            running = await queue(session, gate_prompt(tmp_path / "gate"))
            waiting = await queue(session, show_prompt(7))
            settings, stats = await get(session, "/settings"), await get(session, "/system_stats")

            await one_life(any_engine, port)

            assert neighbour.returncode is None
            assert await get(session, "/settings") == settings
            assert (await get(session, "/system_stats"))["system"]["argv"] == stats["system"]["argv"]
            async with session.get("/view", params=preview) as response:
                assert response.status == 200
            items = await get(session, "/queue")
            assert [item[1] for item in items["queue_running"]] == [running]
            assert [item[1] for item in items["queue_pending"]] == [waiting]
            assert len(await get(session, "/history")) == 1
            (tmp_path / "gate").touch()
            assert (await record(session, waiting))["outputs"]["1"]["text"] == ["7"]
    finally:
        if neighbour.returncode is None:
            neighbour.send_signal(signal.SIGTERM)
        await neighbour.wait()


async def one_life(engine: EngineUnderTest, port: int) -> None:
    """A connector in the same folder that wants the same port: start, runs, shutdown."""
    async with await ComfyConnector.create(**{**engine.settings, "initial_port": port}) as connector:
        assert connector.server_address != f"http://127.0.0.1:{port}"
        history = await connector.run_workflow(picture_workflow())
        assert record_of(history)["status"]["completed"] is True
        await connector.run_workflow(picture_prompt(), False)
