"""Values of contexts in a server: in and out through files, with the caches of ComfyUI as they should be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest
from contract.graphs import Prompt, node, record_of
from small_memory import small_memory
from waiting import until_blocking

from discomfort import ComfyConnector, NodeList, WorkflowContext
from discomfort.context.codecs import encode
from discomfort.context.exchange import LOADER, PORT, SAVER, VERSION, Handshake
from discomfort.context.records import Record
from discomfort.context.run_view import RunView
from discomfort.exceptions import ExecutionError, ValidationError
from discomfort.orchestration.handshake import read_handshake
from discomfort.workflow.port_definition import DEFINITION

IMAGE = np.linspace(0, 1, 64 * 48 * 3, dtype=np.float32).reshape(1, 48, 64, 3)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(engine: EngineUnderTest) -> AsyncIterator[ComfyConnector]:
    """A server of this file's own, which has the nodes as orchestration wants them."""
    settings: Any = {**engine.settings, "browser": "lazy"}
    async with await ComfyConnector._launch(None, settings, loads_nodes=True) as connector:
        yield connector


@pytest.fixture
def view() -> Iterator[RunView]:
    """What one run has of a context."""
    with WorkflowContext() as context, context._view() as made:
        yield made


def place_of(view: RunView, record: Record) -> dict[str, str]:
    """Where a value is, as a loader is told."""
    assert record.file is not None
    assert view.storage.memory_folder is not None
    told = {"run_id": view.storage.run_id, "storage": record.storage, "blob": record.file[-32:]}
    return {**told, "memory": view.storage.memory_folder.name}


def loader(view: RunView, value: object, unique_id: str = "in", *, use_ram: bool = True) -> dict[str, Any]:
    """A loader for a value that is written now. Only variable, codec and digest are among its inputs."""
    record = view.storage.write(encode(value), use_ram=use_ram)
    made = node(LOADER, run_id="", unique_id=unique_id, codec=record.codec)
    if record.text is not None:
        made["inputs"]["text"] = record.text
    else:
        made["inputs"]["digest"] = view.storage.digest(record)
        made["_meta"] = {"title": unique_id, "discomfort": place_of(view, record)}
    return made


def saver(view: RunView, source: list[Any], nonce: int, **inputs: Any) -> dict[str, Any]:
    """A saver for what ``source`` gives."""
    assert view.storage.memory_folder is not None
    places = {"run_id": view.storage.run_id, "memory": view.storage.memory_folder.name}
    given = {"nonce": f"{nonce:032x}", "use_ram": True, "room": 1 << 30, "mode": "val", **inputs}
    return node(SAVER, unique_id="out", input_data=source, **places, **given)


async def run(connector: ComfyConnector, prompt: Prompt) -> tuple[set[str], dict[str, Any]]:
    """The nodes that the server took from its cache, and the outputs by node."""
    record = record_of(await connector.run_workflow(prompt, False))
    cached = {
        name for kind, facts in record["status"]["messages"] if kind == "execution_cached" for name in facts["nodes"]
    }
    return cached, record["outputs"]


def value_of(view: RunView, outputs: dict[str, Any], node_id: str = "3") -> Any:
    """The value that a saver stored, in this process."""
    (told,) = outputs[node_id]["discomfort"]
    if told["text"] is not None:
        record = Record("ram", told["codec"], told["size"], text=told["text"])
    else:
        record = view.adopt("out", told["storage"], told["blob"], told["codec"], told["size"], told["digest"])
    return view.value_of(record)


async def inverted(connector: ComfyConnector, view: RunView, value: object, nonce: int) -> tuple[set[str], Any]:
    """A picture through ``ImageInvert``: the nodes that were cached, and the result."""
    source = loader(view, value)
    prompt = {"1": source, "2": node("ImageInvert", image=["1", 0]), "3": saver(view, ["2", 0], nonce)}
    cached, outputs = await run(connector, prompt)
    return cached, value_of(view, outputs)


async def test_handshake(server: ComfyConnector) -> None:
    """The server has our nodes, also where a clone brings them once more, and sees the files of this process."""
    client = server._parts.client
    assert client is not None
    assert read_handshake(await client.definitions(), is_ours=True) == Handshake(VERSION, ("ram", "disk"))


async def test_definition_of_ports(server: ComfyConnector) -> None:
    """What pages of other servers are told is what a server with our nodes says."""
    told = (await server._node_definitions())[PORT]
    known = {name: value for name, value in DEFINITION.items() if name in told and name != "python_module"}
    assert {name: told[name] for name in known} == known
    assert {"input", "output", "output_node"} <= known.keys()


async def test_cache_follows_the_content(server: ComfyConnector, view: RunView) -> None:
    """What stands behind a loader runs again for another content only, though each save has a file of its own.

    The saver runs each time.
    """
    first, result = await inverted(server, view, IMAGE, 1)
    again, same = await inverted(server, view, IMAGE.copy(), 2)
    other, another = await inverted(server, view, IMAGE / 2, 3)
    assert (first, again, other) == (set(), {"1", "2"}, set())
    assert np.array_equal(result, 1 - IMAGE)
    assert np.array_equal(same, result)
    assert np.array_equal(another, 1 - IMAGE / 2)


async def test_digest_of_outputs(server: ComfyConnector, view: RunView) -> None:
    """It is the same as long as the server has the same object, so that the next workflow finds its cache too."""
    digests = []
    for nonce in (10, 11):
        prompt = {"1": loader(view, IMAGE), "2": node("ImageInvert", image=["1", 0]), "3": saver(view, ["2", 0], nonce)}
        _, outputs = await run(server, prompt)
        digests.append(outputs["3"]["discomfort"][0]["digest"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("use_ram", [True, False])
async def test_memory_and_disk(server: ComfyConnector, view: RunView, use_ram: bool) -> None:
    """A value goes in from either, and comes out into either."""
    prompt = {
        "1": loader(view, IMAGE + use_ram, use_ram=use_ram),
        "2": node("ImageInvert", image=["1", 0]),
        "3": saver(view, ["2", 0], 20, use_ram=use_ram),
    }
    _, outputs = await run(server, prompt)
    assert outputs["3"]["discomfort"][0]["storage"] == ("ram" if use_ram else "disk")
    assert np.allclose(value_of(view, outputs), 1 - IMAGE - use_ram, atol=1e-6)


async def test_place_among_the_inputs(server: ComfyConnector, view: RunView) -> None:
    """It may stand there, too."""
    record = view.storage.write(encode(IMAGE), use_ram=True)
    source = node(LOADER, unique_id="in", codec=record.codec, digest="d", **place_of(view, record))
    prompt = {"1": source, "2": node("ImageInvert", image=["1", 0]), "3": saver(view, ["2", 0], 30)}
    _, outputs = await run(server, prompt)
    assert np.array_equal(value_of(view, outputs), 1 - IMAGE)


@pytest.mark.parametrize("value", [{"samples": IMAGE[:, :4]}, [IMAGE, "a", None], (1, [2.5, True]), "text", 7, None])
async def test_values_survive(server: ComfyConnector, view: RunView, value: Any) -> None:
    """From a loader straight to a saver: tensors on the way are arrays again here."""
    _, outputs = await run(server, {"1": loader(view, value), "3": saver(view, ["1", 0], 40)})
    result = value_of(view, outputs)
    assert json.dumps(result, default=np.ndarray.tolist) == json.dumps(value, default=np.ndarray.tolist)
    assert type(result) is type(value)


async def test_latent(server: ComfyConnector, view: RunView) -> None:
    """A dictionary that a node of ComfyUI made, and that another one takes."""
    prompt = {
        "1": node("EmptyLatentImage", width=64, height=64, batch_size=2),
        "3": saver(view, ["1", 0], 50),
    }
    _, outputs = await run(server, prompt)
    latent = value_of(view, outputs)
    assert np.asarray(latent["samples"]).shape == (2, 4, 8, 8)
    prompt = {
        "1": loader(view, latent),
        "2": node("LatentFromBatch", samples=["1", 0], batch_index=1, length=1),
        "3": saver(view, ["2", 0], 51),
    }
    _, outputs = await run(server, prompt)
    assert np.asarray(value_of(view, outputs)["samples"]).shape == (1, 4, 8, 8)


async def test_lists(server: ComfyConnector, view: RunView) -> None:
    """All items of a list output are saved; loaded, they are a list output again, and what follows runs for each."""
    prompt = {"1": node("ContractRange", count=3), "3": saver(view, ["1", 0], 60, is_list=True)}
    _, outputs = await run(server, prompt)
    numbers = value_of(view, outputs)
    assert numbers == [0, 1, 2]
    assert type(numbers) is NodeList
    prompt = {
        "1": loader(view, numbers),
        "2": node("ContractShow", value=["1", 0]),
        "3": saver(view, ["2", 0], 61),
    }
    _, outputs = await run(server, prompt)
    assert outputs["2"]["text"] == ["0", "1", "2"]
    assert value_of(view, outputs) == [0, 1, 2]
    assert outputs["3"]["discomfort"][0]["is_list"] is True


async def test_list_of_pictures(server: ComfyConnector, view: RunView) -> None:
    """Each is a picture of its own, with its own size."""
    pictures = NodeList([IMAGE, IMAGE[:, :16]])
    cached, result = await inverted(server, view, pictures, 62)
    assert cached == set()
    assert [each.shape for each in result] == [IMAGE.shape, IMAGE[:, :16].shape]
    assert np.array_equal(result[1], 1 - IMAGE[:, :16])


async def test_value_that_no_codec_holds(server: ComfyConnector, view: RunView, engine: EngineUnderTest) -> None:
    """The record says so, or, where it must go by value, the run fails with a remedy."""
    if not engine.real:
        pytest.skip("everything that the emulator's nodes make can be stored")
    prompt = {"1": node("KSamplerSelect", sampler_name="euler"), "3": saver(view, ["1", 0], 70, mode="auto")}
    _, outputs = await run(server, prompt)
    (told,) = outputs["3"]["discomfort"]
    assert (told["codec"], told["blob"], told["text"]) == (None, None, None)
    prompt["3"] = saver(view, ["1", 0], 71)
    with pytest.raises(ExecutionError, match="'out' cannot be passed by value.*'ref' or 'auto'"):
        await run(server, prompt)


async def test_port_that_hands_on_does_not_break_the_cache(server: ComfyConnector) -> None:
    """All of it is cached the second time."""
    prompt = {
        "1": node("EmptyImage", width=16, height=16, batch_size=1, color=77),
        "2": node(PORT, unique_id="x", input_data=["1", 0]),
        "3": node("ImageInvert", image=["2", 0]),
        "4": node("PreviewImage", images=["3", 0]),
    }
    await run(server, prompt)
    cached, _ = await run(server, prompt)
    assert cached >= {"2", "3"}


async def test_port_without_a_value(server: ComfyConnector) -> None:
    """In the plain UI it fails where it feeds something, and does nothing where it does not."""
    with pytest.raises(ExecutionError, match="port 'seed' has no value outside of a Discomfort run; connect something"):
        await run(server, {"1": node(PORT, unique_id=" seed "), "2": node("ContractShow", value=["1", 0])})
    await run(server, {"1": node(PORT, unique_id="seed"), "2": node("ContractShow", value=3)})


@pytest.mark.parametrize("unique_id", ["", "  "])
async def test_port_without_a_name(server: ComfyConnector, unique_id: str) -> None:
    """The server refuses it before the run."""
    with pytest.raises(ValidationError, match="unique_id is empty"):
        await run(server, {"1": node(PORT, unique_id=unique_id), "2": node("ContractShow", value=3)})


@pytest.mark.parametrize("name", ["../run", "/etc", "..", "a/b", "no-such-context"])
async def test_prompts_name_no_paths(server: ComfyConnector, view: RunView, name: str) -> None:
    """Neither a loader nor a saver leaves the folders of contexts; the server goes on."""
    record = view.storage.write(encode(IMAGE), use_ram=False)
    inputs = {**place_of(view, record), "unique_id": "in", "codec": "tensors", "run_id": name}
    shown = node("PreviewAny", source=["1", 0])
    with pytest.raises(ExecutionError, match="is not the name of a context|there is no folder"):
        await run(server, {"1": node(LOADER, **inputs), "2": shown})
    picture = node("EmptyImage", width=16, height=16, batch_size=1, color=1)
    with pytest.raises(ExecutionError, match="is not the name of a context|there is no folder"):
        await run(server, {"1": picture, "3": saver(view, ["1", 0], 80) | {"inputs": {
            **saver(view, ["1", 0], 80)["inputs"], "run_id": name, "memory": ""}}})  # fmt: skip


async def test_server_without_the_nodes(engine: EngineUnderTest) -> None:
    """A program that uses the connector alone gets the server that it always got."""
    if engine.real:
        pytest.skip("the folder of this server has a clone, which brings the nodes")
    async with await ComfyConnector.launch(**{**engine.settings, "browser": "lazy"}) as connector:
        client = connector._parts.client
        assert client is not None
        assert read_handshake(await client.definitions(), is_ours=False) is None
        assert connector._parts.probe is None


async def test_probe_ends_with_the_connector(engine: EngineUnderTest) -> None:
    """Its folders are there as long as the server, and not after it."""
    if engine.real:
        pytest.skip("the same with every engine, and a start of this one takes long")
    settings: Any = {**engine.settings, "browser": "lazy"}
    async with await ComfyConnector._launch(None, settings, loads_nodes=True) as connector:
        probe = connector._parts.probe
        assert probe is not None
        assert all(path.is_dir() for path in probe.paths)
    assert not any(path.exists() for path in probe.paths)


KILLED = """
import asyncio, json, os, signal, sys
import numpy as np
from discomfort import ComfyConnector, Discomfort, WorkflowContext

async def main():
    settings, is_server_killed = json.loads(sys.argv[1])
    before = WorkflowContext()
    before.save("image", np.zeros((1, 512, 512, 3), np.float32))
    discomfort = Discomfort(await ComfyConnector._launch(None, settings, loads_nodes=True))
    after = WorkflowContext()
    await discomfort.run(
        {
            "1": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "image"}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            "3": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "out", "input_data": ["2", 0]}},
        },
        {"image": before["image"]},
        use_ram=False,
        context=after,
    )
    before.save("out", after["out"])
    parts = discomfort.Worker._parts
    print(*parts.probe.paths, before.receipt_path, after.receipt_path, sep="\\n")
    print(*(each._storage.memory_folder for each in (before, after)), sep="\\n", flush=True)
    if is_server_killed:
        os.kill(parts.supervisor.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("is_server_killed", [False, True], ids=["program", "program and server"])
def test_killed_program_leaves_no_values(engine: EngineUnderTest, tmp_path: Path, is_server_killed: bool) -> None:
    """The watchdog removes the probe, and all contexts: from before the connector and after, in memory and on disk."""
    if engine.real:
        pytest.skip("the same with every engine, and a start of this one takes long")
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in engine.settings.items()}
    words = [sys.executable, "-c", KILLED, json.dumps([{**settings, "browser": "lazy"}, is_server_killed])]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False, env=environment)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) == 6, done.stderr
    until_blocking(lambda: not any(path.exists() for path in paths))
    until_blocking(lambda: list(tmp_path.iterdir()) == [])


SMALL = """
import asyncio, json, sys
import numpy as np
from discomfort import ComfyConnector, Discomfort, WorkflowContext

async def main():
    settings = json.loads(sys.argv[1])
    workflow = {
        "1": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "image"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "image", "input_data": ["2", 0]}},
    }
    discomfort = Discomfort(await ComfyConnector._launch(None, settings, loads_nodes=True))
    async with discomfort:
        with WorkflowContext() as context:
            image = np.random.default_rng(0).random((1, 1000, 500, 3), np.float32)
            results = await discomfort.run(workflow, {"image": image}, iterations=3, context=context)
            assert np.array_equal(np.asarray(results["image"]), 1 - (1 - (1 - image)))
            results = await discomfort.run(workflow, {"image": results["image"]})
            print(context.get_storage_info("image")["storage_type"], results["image"].shape, len(context))

asyncio.run(main())
"""


def test_small_shared_memory(engine: EngineUnderTest, tmp_path: Path) -> None:
    """Program and server go to disk when it is full, and no signal ends either of them (D12)."""
    if engine.real:
        pytest.skip("the same with every engine, and a start of this one takes long")
    prefix = small_memory("4m")
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in engine.settings.items()}
    words = [*prefix, sys.executable, "-c", SMALL, json.dumps({**settings, "browser": "lazy"})]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False, env=environment)
    assert re.fullmatch(r"disk (\(|torch.Size\(\[)1, 1000, 500, 3[\])]+ 1\n", done.stdout), done.stderr
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []
