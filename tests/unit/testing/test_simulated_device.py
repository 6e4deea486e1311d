"""An emulator with a simulated device, as a connector sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standins import NODE_CLASS_MAPPINGS

from discomfort.exceptions import OutOfMemoryError
from discomfort.progress import Step
from discomfort.sync import SyncConnector
from discomfort.testing.emulated import EmulatorServer
from discomfort.testing.servers import Setup

ARGUMENTS = ("--vram-gb", "8", "--node-seconds", "StandInKSampler=0.01")
FILES = {"a.safetensors": 6, "b.safetensors": 9}


def sampled(name: str, seed: int = 0) -> dict[str, Any]:
    numbers = {"seed": seed, "steps": 3, "cfg": 1.0, "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "latent_image": ["3", 0]}
    return {
        "1": {"class_type": "StandInCheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "StandInCLIPTextEncode", "inputs": {"text": "x", "clip": ["1", 1]}},
        "3": {"class_type": "StandInEmptyLatentImage", "inputs": {"width": 8, "height": 8, "batch_size": 1}},
        "4": {"class_type": "StandInKSampler", "inputs": {**links, **numbers}},
        "5": {"class_type": "PreviewAny", "inputs": {"source": ["4", 0]}},
    }


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatorServer]:
    """One with 8 GB, and two checkpoints, the second of which is larger."""
    checkpoints = tmp_path / "models" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name, size in FILES.items():
        with (checkpoints / name).open("wb") as file:
            file.truncate(size * 10**9)
    with EmulatorServer(tmp_path, Setup(classes=NODE_CLASS_MAPPINGS, arguments=ARGUMENTS)) as server:
        yield server


@pytest.fixture
def connector(emulator: EmulatorServer) -> Iterator[SyncConnector]:
    with SyncConnector.attach(emulator.url, browser="lazy") as attached:
        yield attached


def test_a_model_is_loaded_once(emulator: EmulatorServer, connector: SyncConnector) -> None:
    """The server says what it holds; a sampler that takes its time reports its steps; ``free`` empties the device."""
    steps: list[object] = []
    for seed in (1, 2):
        connector.run_workflow(sampled("a.safetensors", seed), use_workflow_json=False, on_progress=steps.append)
    stats = emulator.get("/system_stats")
    emulator.reset()
    connector.run_workflow(sampled("a.safetensors", 3), use_workflow_json=False)

    assert stats["system"]["discomfort"]["models"]["held"] == ["checkpoints/a.safetensors"]
    assert stats["devices"][0]["vram_free"] == 2 * 10**9
    assert [event.value for event in steps if isinstance(event, Step)] == [1, 2, 3, 1, 2, 3]
    loads = emulator.get("/system_stats")["system"]["discomfort"]["models"]["loads"]
    assert loads == {"checkpoints/a.safetensors": 2}


def test_a_model_that_is_too_large_is_out_of_memory(emulator: EmulatorServer, connector: SyncConnector) -> None:
    """It has the error of a real device, at the loader; then nothing is held, and other models still load."""
    connector.run_workflow(sampled("a.safetensors"), use_workflow_json=False)
    with pytest.raises(OutOfMemoryError, match=r"checkpoints/b\.safetensors has 9 GB, and the device 8") as caught:
        connector.run_workflow(sampled("b.safetensors"), use_workflow_json=False)
    held = emulator.get("/system_stats")["system"]["discomfort"]["models"]["held"]
    connector.run_workflow(sampled("a.safetensors", 1), use_workflow_json=False)

    assert (caught.value.node_id, held) == ("1", [])
    loads = emulator.get("/system_stats")["system"]["discomfort"]["models"]["loads"]
    assert loads == {"checkpoints/a.safetensors": 2}
