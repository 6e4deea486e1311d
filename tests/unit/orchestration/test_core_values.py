"""Values as files and nodes that every ComfyUI has, without a server."""

from __future__ import annotations

import wave
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from unit.orchestration.fake_worker import FakeWorker

from discomfort import NodeList
from discomfort.context.records import Record
from discomfort.core_values.core_files import (
    are_eight_bits,
    eight_bits,
    latent_file,
    png_file,
    read_latent,
    read_png,
    wave_file,
)
from discomfort.core_values.core_inputs import kind_of, loss_of, packed, problem_of
from discomfort.core_values.core_outputs import Collector, output_kind
from discomfort.exceptions import DamagedDataError
from discomfort.orchestration.binding import LoadedValue
from discomfort.orchestration.core_nodes import Uploads
from discomfort.orchestration.transport import WantedValue
from discomfort.workflow.prompt_ports import PromptPort
from discomfort.workflow.workflow_ports import PortRole

CLASSES = frozenset(
    ["LoadImage", "LoadImageMask", "ImageBatch", "ImageToMask", "LoadLatent", "SetLatentNoiseMask", "LoadAudio"]
)
LATENT = {"samples": np.zeros((1, 4, 2, 2), np.float32)}
SOUND = {"waveform": np.zeros((1, 2, 10), np.float32), "sample_rate": 8000}


def wanted(value: Any, kind: str = "ANY") -> WantedValue:
    """A value that some input needs."""
    return WantedValue("v", kind, LoadedValue(value))


def picture(*shape: int) -> Any:
    """Levels that 8 bits hold."""
    return (np.arange(np.prod(shape)).reshape(shape) % 256).astype(np.float32) / np.float32(255)


def test_pictures_survive() -> None:
    """All levels of 8 bits do, exactly; others are rounded."""
    levels = np.arange(256, dtype=np.float32).reshape(16, 16, 1).repeat(3, axis=2) / np.float32(255)
    assert are_eight_bits(levels)
    assert np.array_equal(read_png(png_file(eight_bits(levels)).data), levels)
    assert not are_eight_bits(np.full((1, 1, 3), 0.3, np.float32))
    with pytest.raises(DamagedDataError, match="cannot be read"):
        read_png(b"no picture")


def test_latents_survive() -> None:
    """Exactly, also those with five dimensions; a file of something else is told as such."""
    samples = np.random.default_rng(1).standard_normal((1, 4, 2, 3, 5)).astype(np.float32)
    file = latent_file(samples)
    assert file.name == latent_file(samples.copy()).name
    assert np.array_equal(np.asarray(read_latent(file.data, "numpy")), samples)
    with pytest.raises(DamagedDataError):
        read_latent(file.data[:-1], "numpy")


def test_sound_is_interleaved() -> None:
    """In chunks that are as long as they say."""
    data = wave_file(np.array([[0.5, 0.25], [-1.0, 1.0]], np.float32), 8000).data
    assert data[:4] + data[8:12] == b"RIFFWAVE"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert np.array_equal(np.frombuffer(data[-16:], "<f4"), [0.5, -1.0, 0.25, 1.0])
    assert data[20] != wave.WAVE_FORMAT_PCM


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [(picture(1, 2, 2, 3), "ANY", "IMAGE"), (picture(1, 2, 2), "ANY", "MASK"), (LATENT, "ANY", "LATENT"),
     (SOUND, "ANY", "AUDIO"), (picture(4), "SIGMAS", ""), ([1], "ANY", ""), (picture(1, 2, 2), "mask", "MASK"),
     (picture(1, 2, 2, 3), "STRING,IMAGE", "IMAGE"), (np.zeros((1, 2, 2, 3), np.int32), "ANY", "")],
)  # fmt: skip
def test_kinds(value: Any, kind: str, expected: str) -> None:
    """Come from the type of the input, or from the value where that is unknown."""
    assert kind_of(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [(picture(1, 2, 2, 3) + 1, "IMAGE", "outside of 0 to 1"), (picture(1, 2, 2, 1), "IMAGE", "3 or 4"),
     (picture(1, 2, 2, 4), "IMAGE", "no node JoinImageWithAlpha"), (np.full((1, 1, 1), np.nan), "MASK", "outside"),
     (picture(1, 1, 2, 2), "MASK", "batch, height, width"), ({**LATENT, "batch_index": [0]}, "LATENT", "batch_index"),
     ({**LATENT, "noise_mask": picture(1, 2)}, "LATENT", "noise_mask"), (NodeList([LATENT]), "LATENT", "a list"),
     ({**SOUND, "waveform": np.zeros((2, 1, 4), np.float32)}, "AUDIO", "a batch of 2"), ({}, "AUDIO", "waveform"),
     ({**SOUND, "waveform": np.zeros((1, 9, 4), np.float32)}, "AUDIO", "channels"), ({}, "LATENT", "samples"),
     (picture(4), "SIGMAS", "only constants")],
)  # fmt: skip
def test_what_cannot_pass(value: Any, kind: str, text: str) -> None:
    """Is told with its reason."""
    assert text in problem_of(value, kind, CLASSES)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [(picture(1, 2, 2, 3), "IMAGE", ""), (picture(1, 2, 2) * 0.9, "MASK", "8 bits"), (LATENT, "LATENT", ""),
     ({"samples": np.full((1, 1, 1, 1), 0.1)}, "LATENT", "32 bits"), (SOUND, "AUDIO", ""),
     ({**LATENT, "noise_mask": picture(1, 1, 2, 2) * 0.9}, "LATENT", "noise mask")],
)  # fmt: skip
def test_losses(value: Any, kind: str, text: str) -> None:
    """Are told only where there are some."""
    assert not problem_of(value, kind, CLASSES)
    assert text in loss_of(value, kind)
    assert bool(text) == bool(loss_of(value, kind))


def test_batches_keep_their_order() -> None:
    """Joined in pairs of pairs; equal pictures are one file and one node."""
    batch = picture(5, 2, 2, 3)
    batch[4] = batch[0]
    shipment, files = packed(batch, "IMAGE")
    recipe = shipment.recipe({file.name: file.name for file in files})

    def leaves(node_id: str) -> list[str]:
        inputs = recipe.nodes[node_id]["inputs"]
        return [inputs["image"]] if "image" in inputs else leaves(inputs["image1"][0]) + leaves(inputs["image2"][0])

    assert leaves(recipe.output[0]) == [file.name for file in files]
    assert classes_of(recipe.nodes) == {"LoadImage": 4, "ImageBatch": 4}


def classes_of(nodes: Any) -> dict[str, int]:
    """How many nodes of each class."""
    classes = [node["class_type"] for node in nodes.values()]
    return {name: classes.count(name) for name in classes}


async def test_stored_values_are_sent_once() -> None:
    """Until the server does not have their files any more; the file of a context never changes."""
    worker = FakeWorker()
    uploads = Uploads(worker)
    record = Record("ram", "tensors", 1, file="ram:discomfort-1/a/" + "0" * 32)
    value = WantedValue("v", "IMAGE", LoadedValue(picture(2, 2, 2, 3)), record)
    sent = [(await uploads.ship(value)).sent for _ in range(2)]
    worker.files.popitem()
    sent.append((await uploads.ship(value)).sent)
    shipped = await uploads.ship(value)

    assert sent == [2, 0, 2]
    assert list(shipped.places.values()) == [f"discomfort/{name} [temp]" for name in shipped.shipment.names]


def test_masked_latents() -> None:
    """Get their mask back by a node of its own."""
    value = wanted({**LATENT, "noise_mask": picture(2, 1, 4, 4)}, "LATENT")
    shipment, files = packed(value.plan.value, value.type)
    recipe = shipment.recipe({file.name: file.name for file in files})
    assert classes_of(recipe.nodes) == {
        "LoadLatent": 1, "LoadImage": 2, "ImageBatch": 1, "ImageToMask": 1, "SetLatentNoiseMask": 1,
    }  # fmt: skip
    assert recipe.nodes[recipe.output[0]]["class_type"] == "SetLatentNoiseMask"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("INT", "5", 5), ("INT", "5.0", 5.0), ("FLOAT", "1", 1.0), ("FLOAT", "1e-07", 1e-07), ("BOOLEAN", "True", True),
     ("STRING", "5", "5"), ("COMBO", "euler", "euler"), ("INT,FLOAT", "2", 2), ("INT", "None", None)],
)  # fmt: skip
async def test_texts(kind: str, text: str, value: Any) -> None:
    """Become what the port gives."""
    port = PromptPort("1", "v", PortRole.OUTPUT, source=("0", 0), source_type=kind)
    collector = Collector(output_kind(kind), port, ("1",))
    outputs: Any = {"1": [SimpleNamespace(key="text", value=text)]}
    found = await collector.value(outputs, "numpy")
    assert (found, type(found)) == (value, type(value))
    with pytest.raises(LookupError):
        await collector.value({}, "numpy")


async def test_texts_that_are_no_numbers() -> None:
    """Are an error that names the port."""
    port = PromptPort("1", "v", PortRole.OUTPUT, source=("0", 0), source_type="INT")
    outputs: Any = {"1": [SimpleNamespace(key="text", value="many")]}
    with pytest.raises(DamagedDataError, match="port 'v' of type INT"):
        await Collector("number", port, ("1",)).value(outputs, "numpy")
