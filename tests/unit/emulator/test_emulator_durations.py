"""Durations of nodes: calls take the time that is asked for, report steps, and end at once when they are interrupted.

Also here: the flags and fields of the simulated device.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from comfyui_emulator import EmulatorConfig, runtime
from comfyui_emulator.command import banner, config_from
from comfyui_emulator.flags import parser
from comfyui_emulator.registry import UnloadedNodesError
from comfyui_emulator.server import EMULATOR

N = Any


class _Sampler:
    """Reports no steps itself."""

    CATEGORY = "test"
    FUNCTION = "go"
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"steps": ("INT", {"default": 4})}}

    def go(self, steps: int) -> tuple[int]:
        return (steps,)


class _Stepper(_Sampler):
    """Reports its steps."""

    def go(self, steps: int) -> tuple[int]:
        for step in range(steps):
            runtime.progress(step + 1, steps)
        return (steps,)


def sampled(steps: int) -> dict[str, Any]:
    return {
        "1": {"class_type": "Sampler", "inputs": {"steps": steps}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


async def test_a_node_takes_its_time(launch: N, make: N) -> None:
    """A sampler that does not report its steps reports them during that time."""
    async with launch(extra_nodes={"Sampler": _Sampler}, node_seconds={"Sampler": 0.1}) as client:
        begun = time.monotonic()
        events, _ = await client.run(sampled(steps=5))
        elapsed = time.monotonic() - begun

    assert elapsed >= 0.1
    steps = [(data["value"], data["max"]) for kind, data in events if kind == "progress"]
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


async def test_many_steps_are_not_all_reported(launch: N, make: N) -> None:
    """A thousand reports are enough: more would take longer than the node should."""
    async with launch(extra_nodes={"Sampler": _Sampler}, node_seconds={"Sampler": 0.001}) as client:
        events, _ = await client.run(sampled(steps=10**9))

    assert [data["value"] for kind, data in events if kind == "progress"] == list(range(10**6, 10**9 + 1, 10**6))


async def test_own_steps_are_spread_over_the_time(launch: N, make: N) -> None:
    """A node that reports them is slowed down step by step, and nothing else is reported."""
    settings = {"extra_nodes": {"Sampler": _Stepper}, "node_seconds": {"Sampler": 0.2}}
    async with launch(**settings) as client, await client.socket("me") as socket:
        begun = time.monotonic()
        await client.submit(sampled(steps=2), client_id="me")
        reports = []
        while (message := await socket.receive_json(timeout=20))["type"] != "execution_success":
            if message["type"] == "progress":
                reports.append((message["data"]["value"], time.monotonic() - begun))
        elapsed = time.monotonic() - begun

    assert [value for value, _ in reports] == [1, 2]
    assert reports[0][1] >= 0.1
    assert elapsed >= 0.2


async def test_each_call_of_a_node_takes_its_time(launch: N, make: N) -> None:
    """A node that is called for three items takes three times as long."""
    async with launch(node_seconds={"Count": 0.05}) as client:
        graph = {"1": make("Range", start=0, count=3), "2": make("Count", value=["1", 0])}
        begun = time.monotonic()
        await client.run(graph | {"3": make("PreviewAny", source=["2", 0])})
        elapsed = time.monotonic() - begun

    assert elapsed >= 0.15


async def test_a_long_node_is_interrupted(launch: N, make: N) -> None:
    """While it waits, also between two steps; the next run is not affected."""
    async with (
        launch(extra_nodes={"Sampler": _Sampler}, node_seconds={"Sampler": 60}) as client,
        await client.socket("me") as socket,
    ):
        _, answer = await client.submit(sampled(steps=1000), client_id="me")
        while (await socket.receive_json(timeout=20))["type"] != "progress":
            pass
        await client.post("/interrupt", json={})
        while (message := await socket.receive_json(timeout=20))["type"] != "execution_interrupted":
            pass
        _, after = await client.run({"1": make("PreviewAny", source="x")})

    assert (message["data"]["prompt_id"], message["data"]["node_id"]) == (answer["prompt_id"], "1")
    assert after["status"]["completed"]


async def test_a_long_coroutine_node_is_interrupted(launch: N, make: N, nodes: N) -> None:
    """A node that is a coroutine takes its time, too, and others run beside it."""
    for number in (1, 2):
        nodes["Later"].events[number] = asyncio.Event()
        nodes["Later"].entered[number] = asyncio.Event()
        nodes["Later"].events[number].set()
    async with launch(node_seconds={"Later": 3600}) as client:
        graph = {"1": make("Later", value=1), "2": make("Later", value=2), "3": make("PreviewAny", source=["1", 0])}
        run = asyncio.create_task(client.run(graph | {"4": make("PreviewAny", source=["2", 0])}))
        async with asyncio.timeout(20):
            for number in (1, 2):
                await nodes["Later"].entered[number].wait()
        await client.post("/interrupt", json={})
        _, record = await run

    assert record["status"]["messages"][-1][0] == "execution_interrupted"


async def test_a_coroutine_node_takes_its_time(launch: N, make: N, nodes: N) -> None:
    """As any other node."""
    nodes["Later"].events[1], nodes["Later"].entered[1] = asyncio.Event(), asyncio.Event()
    nodes["Later"].events[1].set()
    async with launch(node_seconds={"Later": 0.1}) as client:
        begun = time.monotonic()
        await client.run({"1": make("Later", value=1), "2": make("PreviewAny", source=["1", 0])})
        elapsed = time.monotonic() - begun

    assert elapsed >= 0.1


# --- the settings ----------------------------------------------------------------------------------------------------


def test_flags_become_settings(caplog: pytest.LogCaptureFixture) -> None:
    """Each flag is a field; the log says at the start what is simulated."""
    caplog.set_level(logging.INFO, "comfyui_emulator")
    argv = ["--load-seconds-per-gb", "0.5", "--vram-gb", "24"]
    argv += ["--node-seconds", "KSampler=0.15", "--node-seconds", "My=Node=2"]

    config = config_from(parser().parse_args(argv), argv)
    banner(config)

    assert (config.load_seconds_per_gb, config.vram_gb) == (0.5, 24.0)
    assert config.node_seconds == {"KSampler": 0.15, "My=Node": 2.0}
    assert "device: simulated, with 24 GB of memory; models load in 0.5 s per GB" in caplog.messages


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ("--load-seconds-per-gb -1", "argument --load-seconds-per-gb: '-1' is not a number of seconds; give one such"),
        ("--load-seconds-per-gb nan", "argument --load-seconds-per-gb: 'nan' is not a number of seconds"),
        ("--vram-gb 0", "argument --vram-gb: '0' is not a size in GB above 0; give one such as 24"),
        ("--vram-gb 24GB", "argument --vram-gb: '24GB' is not a size in GB above 0"),
        ("--vram-gb inf", "argument --vram-gb: 'inf' is not a size in GB above 0"),
        ("--node-seconds KSampler", "argument --node-seconds: 'KSampler' names no node class; give CLASS=SECONDS"),
        ("--node-seconds KSampler=x", "argument --node-seconds: 'x' is not a number of seconds"),
    ],
)
def test_wrong_flags_name_the_remedy(argv: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The flag, the value, and what to give instead."""
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(argv.split())

    assert caught.value.code == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"vram_gb": -1.0}, "vram_gb is -1.0; give a size above 0"),
        ({"vram_gb": float("nan")}, "vram_gb is nan"),
        ({"load_seconds_per_gb": float("inf")}, "load_seconds_per_gb is inf; give a number of seconds"),
        ({"node_seconds": {"KSampler": -0.5}}, "node_seconds of KSampler is -0.5; give a number of seconds"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], error: str) -> None:
    """A program learns of them when it makes the object."""
    with pytest.raises(ValueError, match=error):
        EmulatorConfig(**settings)


async def test_a_class_that_the_server_does_not_have(launch: N) -> None:
    """It is an error of the start, which names the class that may be meant."""
    async with launch(node_seconds={"KSampeler": 1.0}) as client:
        with pytest.raises(
            UnloadedNodesError, match=r"'KSampeler', a class that this server lacks; did you mean KSampler"
        ):
            await client.http.app[EMULATOR].nodes()
