"""Faults on demand: each has its documented effect, and can be switched while the server runs."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comfyui_emulator import Faults, faults_of
from comfyui_emulator.command import config_from
from comfyui_emulator.faults import parse_faults
from comfyui_emulator.flags import parser

N = Any


@pytest.mark.parametrize("fault", [{"oom_at": "1"}, {"oom_at": "Count"}])
async def test_out_of_memory_at_a_node(launch: N, make: N, fault: dict[str, str]) -> None:
    """The node, named by id or class, fails with torch's error for a full device, and ComfyUI's advice."""
    async with launch(faults=Faults(**fault)) as client:
        graph = {"1": make("Count", value=1), "2": make("PreviewAny", source=["1", 0])}
        _, record = await client.run(graph)

    kind, error = record["status"]["messages"][-1]
    assert (kind, error["node_id"], error["exception_type"]) == ("execution_error", "1", "torch.OutOfMemoryError")
    told, advice, *_ = error["exception_message"].splitlines()
    assert (told, advice) == ("Allocation on device", "This error means you ran out of memory on your GPU.")


async def test_faults_change_while_the_server_runs(launch: N, make: N) -> None:
    """The object of a running application switches faults on and off."""
    graph = {"1": make("PreviewAny", source="x")}
    async with launch(faults=Faults(fail_at="1")) as client:
        faults = faults_of(client.http.app)
        _, failed = await client.run(graph)
        faults.fail_at = None
        _, passed = await client.run(graph)
        faults.answer_status = 503
        status, _ = await client.post("/prompt", json={"prompt": graph})

    assert failed["status"]["status_str"] == "error"
    assert passed["status"]["status_str"] == "success"
    assert status == 503


async def test_rejected_uploads(launch: N) -> None:
    """Uploads get the configured status; everything else works."""
    async with launch(faults=Faults(reject_uploads=507)) as client:
        form = aiohttp.FormData({"overwrite": "true"})
        status, _ = await client.post("/upload/image", data=form)
        stats = await client.get("/system_stats")

    assert status == 507
    assert stats["system"]


async def test_socket_is_cut(launch: N, make: N) -> None:
    """After that many messages the socket is cut without a close frame, and the run continues."""
    async with launch(faults=Faults(drop_socket_after=2)) as client:
        socket = await client.socket("me")
        _, answer = await client.submit({"1": make("PreviewAny", source="x")}, client_id="me")
        received = 0
        while (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.TEXT:
            received += 1
        assert received == 1  # and the greeting
        assert socket.close_code in (None, aiohttp.WSCloseCode.ABNORMAL_CLOSURE)
        while not (history := await client.get(f"/history/{answer['prompt_id']}")):
            await client.get("/prompt")

    assert history[answer["prompt_id"]]["status"]["completed"]


async def test_socket_goes_silent(launch: N, make: N) -> None:
    """A stalled socket stays open but sends nothing more."""
    async with launch(faults=Faults(stall_socket_after=1)) as client:
        socket = await client.socket("me")
        _, answer = await client.submit({"1": make("PreviewAny", source="x")}, client_id="me")
        while not await client.get(f"/history/{answer['prompt_id']}"):
            await client.get("/prompt")
        await socket.ping()
        with pytest.raises(asyncio.TimeoutError):
            await socket.receive(timeout=0.05)
        assert not socket.closed


@pytest.mark.parametrize("fault", [Faults(evict_history=True), Faults(history_delay=30)])
async def test_history_is_missing(launch: N, make: N, fault: Faults) -> None:
    """A run ends with its last message, but has no record."""
    async with launch(faults=fault) as client, await client.socket("me") as socket:
        _, answer = await client.submit({"1": make("PreviewAny", source="x")}, client_id="me")
        while (message := await socket.receive_json(timeout=20))["type"] != "executing" or message["data"]["node"]:
            pass
        history = await client.get(f"/history/{answer['prompt_id']}")

    assert history == {}


async def test_delayed_history_arrives(launch: N, make: N) -> None:
    """A delayed record becomes readable."""
    async with launch(faults=Faults(history_delay=0.01)) as client:
        _, answer = await client.submit({"1": make("PreviewAny", source="x")})
        while not (history := await client.get(f"/history/{answer['prompt_id']}")):
            await client.get("/prompt")

    assert history[answer["prompt_id"]]["status"]["completed"]


def test_crash_at_a_node_kills_the_process(tmp_path: Path) -> None:
    """The process dies by SIGKILL when the node begins."""
    command = [sys.executable, "-m", "comfyui_emulator", "--port", "0", "--base-directory", str(tmp_path)]
    with subprocess.Popen([*command, "--fault", "crash_at=1"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(line.split()[-1] for line in process.stderr if "http://" in line)
        prompt = {"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}
        urllib.request.urlopen(f"{url}/prompt", data=json.dumps({"prompt": prompt}).encode(), timeout=20).close()
        code = process.wait(timeout=20)

    assert code == -signal.SIGKILL


def test_exit_at_start(tmp_path: Path) -> None:
    """The process exits with the code that the environment sets."""
    result = subprocess.run(
        [sys.executable, "-m", "comfyui_emulator", "--port", "0", "--base-directory", str(tmp_path)],
        env={"DISCOMFORT_FAULTS": "exit_at_start=7 start_delay=0.01"},
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert result.returncode == 7
    assert b"faults on demand" in result.stderr


def test_texts_become_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags and the environment are read; flags win."""
    monkeypatch.setenv("DISCOMFORT_FAULTS", "node_delay=0.5 oom_at=3")
    argv = ["--fault", "oom_at=4", "--fault", "never_answer", "--fault", "answer_status=500"]

    faults = config_from(parser().parse_args(argv), argv).faults

    assert faults == Faults(node_delay=0.5, oom_at="4", never_answer=True, answer_status=500)
    assert faults.any
    assert not Faults().any


@pytest.mark.parametrize("text", ["nope=1", "oom_at", "answer_status=x"])
def test_unknown_faults_are_errors(text: str) -> None:
    """An unknown name, or a missing or wrong value, is refused."""
    with pytest.raises(ValueError, match=r"fault|invalid literal"):
        parse_faults([text])
