"""The scripts of the original and of its documentation, import lines included, in a ComfyUI folder.

``scripts`` has them by their number in the specification: R1 to R10 are those of the original's repository, E1 to E21
those of its pages. Two run as programs of their own; the others share one server, whose end they do not reach.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pickle
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest
from contract.script_folder import counts, furnish, level, levels
from PIL import Image
from ports import first_port
from script_workflows import CHECKPOINT, WORKFLOWS, written

from discomfort import Discomfort, Reference

pytestmark = pytest.mark.browser

SCRIPTS = Path(__file__).with_name("scripts")
Play = Callable[[str], Awaitable[Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(engine: EngineUnderTest) -> AsyncIterator[Discomfort]:
    """The process's Discomfort, which each ``create()`` of a script gets; its nodes that need models are stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STANDINS_REPLACE", "1")
        made = await Discomfort.create(**engine.settings)
        end = Discomfort.shutdown
        patch.setattr(Discomfort, "shutdown", _kept)
        yield made
        await end(made)
    for name in [name for name in sys.modules if name.partition(".")[0] == "custom_nodes"]:
        del sys.modules[name]


async def _kept(_: Discomfort) -> None:
    """Leave the server to the next script."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a script."""
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def script(folder: Path) -> Callable[[str], Any]:
    """A script as a module, by its number; the workflows that it expects are there."""

    def loaded(number: str) -> Any:
        written(folder, WORKFLOWS.get(number, {}))
        (path,) = SCRIPTS.glob(f"{number}_*.py")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.fixture
def play(script: Callable[[str], Any], server: Discomfort) -> Play:
    """Runs a script; gives what its ``main`` returns."""
    return lambda number: script(number).main()


@pytest.mark.parametrize("number", ["r05", "e05"])
async def test_programs(engine: EngineUnderTest, number: str) -> None:
    """R5 and E5 as their users start them, in the ComfyUI folder, with a server of their own and an end of it.

    R5 shuts the server down before its context.
    """
    home = engine.home
    furnish(home)
    written(home, WORKFLOWS.get(number, {}))
    (path,) = SCRIPTS.glob(f"{number}_*.py")
    shutil.copy(path, home)
    settings = {f"DISCOMFORT_{key}": value for key, value in engine.config().items()}
    settings |= {"DISCOMFORT_INITIAL_PORT": str(first_port(18788)), "STANDINS_REPLACE": "1"}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-W", "error::ResourceWarning", path.name,
        cwd=home, env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await program.communicate()
    assert program.returncode == 0, printed.decode()
    if number == "r05":
        assert (home / "output" / "tutorial_1.png").exists()
    else:
        told = json.loads(printed.decode().splitlines()[-1])
        assert told == {"nodes": 9, "inputs": ["prompt", "seed"], "runs": 1, "results": ["output_image"]}


# --- of the original's repository ------------------------------------------------------------------------------------


async def test_r01_seeds(play: Play, server: Discomfort) -> None:
    """Eight different pictures; the loader runs once; three keys, and a saved picture each."""
    before = await counts(server)
    images, keys = await play("r01")
    ran = await counts(server) - before
    assert len(set(levels(images))) == 8
    assert keys == ["cfg", "seed", "output_image"]
    assert (ran[f"CheckpointLoaderSimple:{CHECKPOINT}"], ran["KSampler"]) == (1, 8)


async def test_r02_image_to_image(play: Play, folder: Path) -> None:
    """Ten pictures of ten seeds; the start is stored once, not per round."""
    rounds = await play("r02")
    assert [seed for seed, _, _ in rounds] == list(range(10))
    assert np.allclose(np.diff([level(image) for _, image, _ in rounds]), 1, atol=1e-4)
    assert len({name for _, _, name in rounds}) == 1
    assert len(list((folder / "output").glob("round_*.png"))) == 10


async def test_r03_advanced(play: Play, server: Discomfort) -> None:
    """The checkpoint is loaded once in ten rounds, the LoRA once per strength, and each picture shows its own."""
    before = await counts(server)
    images = await play("r03")
    ran = await counts(server) - before
    found = [level(each) for each in images]
    steps = np.diff(found)
    assert np.allclose(steps, steps[0], atol=1e-3)
    assert steps[0] > 0
    assert ran[f"CheckpointLoaderSimple:{CHECKPOINT}"] <= 1
    assert [ran[f"LoraLoader:{index * 0.1:g}"] for index in range(10)] == [1] * 10
    assert [np.asarray(each).shape[1] for each in images] == [128, 2] * 5


async def test_r04_stitched(play: Play, folder: Path) -> None:
    """One prompt, with the inputs that are left, gives what the parts give."""
    stitched, results = await play("r04")
    expected = {"model_name", "lora_name", "lora_strength", "input_image", "prompt", "denoise"}
    assert (set(stitched["inputs"]), set(stitched["outputs"])) == (expected, {"output_image"})
    assert set(results) == {"output_image"}
    assert len(results.histories) == 1
    assert (folder / "output" / "stitched.png").exists()


async def test_r06_stitched_without_ends(script: Callable[[str], Any]) -> None:
    """The second model wins, and no port of the ends is left."""
    stitched = await script("r06").main()
    workflow = stitched["stitched_workflow"]
    nodes = {each["id"]: each for each in workflow["nodes"]}
    ports = [each["widgets_values"] for each in workflow["nodes"] if each["type"] == "DiscomfortPort"]
    assert (stitched["inputs"], stitched["outputs"]) == ({}, {})
    assert sorted(name for (name,) in ports) == ["clip", "clip", "model", "model", "vae", "vae"]
    loaders = [each["id"] for each in workflow["nodes"] if each["type"] == "CheckpointLoaderSimple"]
    (sampler,) = [each for each in workflow["nodes"] if each["type"] == "KSampler"]
    origins = {link[0]: link[1] for link in workflow["links"]}

    def origin(node_id: int, slot: int) -> int:
        while nodes[node_id]["type"] == "DiscomfortPort" or slot:
            node_id, slot = origins[nodes[node_id]["inputs"][0]["link"]], 0
        return node_id

    assert origin(origins[sampler["inputs"][0]["link"]], 0) == loaders[1]


async def test_r09_invert(play: Play) -> None:
    """Equals 1 - input exactly."""
    image, result = await play("r09")
    assert np.array_equal(np.asarray(result), 1 - image)


async def test_r10_mission(play: Play) -> None:
    """The loop on a loaded value ends when it should."""
    rounds, quality = await play("r10")
    assert (rounds, round(quality, 3)) == (3, 0.775)


# --- of the documentation --------------------------------------------------------------------------------------------


async def test_e01_quick_start(play: Play, folder: Path) -> None:
    """The picture is on the disk."""
    image = await play("e01")
    with Image.open(folder / "output.png") as saved:
        assert saved.size == np.asarray(image).shape[2:0:-1]


async def test_e02_alternating(play: Play) -> None:
    """With and without a context the same; each seed shows."""
    without, with_context = await play("e02")
    assert levels(without) == levels(with_context)
    assert len(set(levels(without))) == 4


async def test_e03_stitched_with_saver(play: Play, server: Discomfort) -> None:
    """No OUTPUT port gives an empty dictionary; the picture was saved."""
    stitched, results = await play("e03")
    assert list(stitched["inputs"]) == ["prompt"]
    assert results == {}
    (output,) = server.Worker.outputs(results.histories[0])
    assert output.filename.startswith("saved_")


async def test_e04_running(play: Play) -> None:
    """All ways to call ``run``, C15; and which ``except`` branch each error takes."""
    told = await play("e04")
    assert set(told["single"]) == {"output_image"}
    assert set(told["sequence"]) == {"model", "clip", "vae", "final_image", "upscaled_image"}
    assert isinstance(told["sequence"]["model"], Reference)
    assert len(told["iterations"].histories) == 10
    assert np.allclose(np.diff(levels(told["persistent"])), 1, atol=1e-3)
    assert level(told["object"]["output_image"]) == level(told["single"]["output_image"])
    assert told["branches"] == ["ValueError"] * 3 + ["RuntimeError", "Exception", "nothing"]


async def test_e06_complete(play: Play, server: Discomfort, folder: Path) -> None:
    """A picture for each seed and cfg, of a model that is loaded once at most."""
    before = await counts(server)
    images, usage = await play("e06")
    ran = await counts(server) - before
    assert len(set(levels(images.values()))) == len(images) == 10
    assert ran[f"CheckpointLoaderSimple:{CHECKPOINT}"] <= 1
    assert len(list((folder / "output").iterdir())) == 10
    assert usage["stored_keys_count"] == 9


async def test_e07_context(script: Callable[[str], Any], folder: Path) -> None:
    """Every line of the page does what it says."""
    told = await script("e07").main()
    assert len(told["default"][0]) == 32
    assert told["max_ram_gb"][1] == 4.0
    assert told["run_id"][0] == "my-run"
    assert told["loaded"]["config"] == {"steps": 20, "sizes": [512, 768]}
    assert np.array_equal(told["loaded"]["image"], np.full((1, 32, 32, 3), 0.5, np.float32))
    in_memory, on_disk, missing = told["info"]
    assert (in_memory["storage_type"], on_disk["storage_type"], missing) == ("ram", "disk", None)
    assert {"size", "pass_by", "shm_name"} <= in_memory.keys()
    assert {"size", "pass_by", "path"} <= on_disk.keys()
    assert told["keys"] == ["text", "seed", "cfg", "image", "config", "on_disk"]
    assert set(told["usage"]) == {
        "ram_usage_bytes", "ram_capacity_bytes", "ram_usage_gb", "ram_capacity_gb", "temp_disk_usage_bytes",
        "temp_disk_usage_mb", "stored_keys_count",
    }  # fmt: skip
    assert told["shared"] == 42
    assert told["exported"] == ["text", "seed", "cfg", "on_disk"]
    assert (told["exists"], told["missing"]) == (FileExistsError, KeyError)
    assert told["after"] == ([], 0, None)
    assert (told["gone"], told["no config"]) == (FileNotFoundError, FileNotFoundError)
    assert issubclass(told["no id"], ValueError)
    with (folder / "config.pkl").open("rb") as file:
        assert pickle.load(file) == {"steps": 30}
    with (folder / "exported" / "image.pkl").open("rb") as file:
        assert pickle.load(file).shape == (1, 32, 32, 3)


async def test_e08_coroutines(script: Callable[[str], Any]) -> None:
    """Thirty keys, and each value is the right one."""
    keys, items = await script("e08").main()
    assert len(set(keys)) == 30
    assert items == [int(key.partition("_")[2]) for key in keys]


async def test_e09_memory(script: Callable[[str], Any], folder: Path) -> None:
    """What no longer fits goes to the disk; export makes room again."""
    places, usage = await script("e09").main()
    assert {place for _, place in places} == {"ram", "disk"}
    assert all(place == "disk" for is_full, place in places if is_full)
    assert (usage["ram_usage_bytes"], usage["temp_disk_usage_bytes"], usage["stored_keys_count"]) == (0, 0, 0)
    assert len(list((folder / "exported").iterdir())) == 13


async def test_e10_contexts_of_workers(play: Play) -> None:
    """A picture of three dimensions fits an IMAGE; a list of dictionaries with pictures is a value like any other."""
    found, loaded = await play("e10")
    assert [each["keys"] for each in loaded] == [["input_image", "seed", "output_image"]] * 3
    for one, other in zip(found, loaded, strict=True):
        assert (one["index"], level(one["image"])) == (other["index"], level(other["image"]))
    assert np.allclose(np.diff([level(each["image"]) for each in loaded]), 1, atol=1e-3)


async def test_e11_batch(script: Callable[[str], Any], server: Discomfort, folder: Path) -> None:
    """Each picture of the folder has its own result; export takes the value out of the context."""
    module = script("e11")
    (folder / "photos").mkdir()
    for index in range(3):
        Image.new("RGB", (8, 8), (index * 80,) * 3).save(folder / "photos" / f"photo_{index}.png")
    enhanced, keys = await module.main()
    assert len(set(levels(enhanced))) == 3
    assert "enhanced_image" not in keys
    assert len(list((folder / "exports").iterdir())) == 3


async def test_e12_tools(play: Play, server: Discomfort) -> None:
    """Each tool, and a pruned workflow as a reference of a run."""
    told = await play("e12")
    image, copy = (np.asarray(each) for each in told["copy"])
    assert (image.dtype, image.shape) == (np.float32, (1, 16, 16, 3))
    assert np.array_equal(image, copy)
    assert set(told["ports"]["outputs"]) == {"final_image"}
    assert told["valid"] == (True, False)
    assert (set(told["kept"]["inputs"]), set(told["kept"]["outputs"])) == ({"prompt"}, {"final_image"})
    assert (told["deleted"]["inputs"], told["deleted"]["outputs"]) == ({}, {})
    assert set(told["run"]) == {"final_image"}
    before, clean_nodes, clean_links, link_ids = told["reroutes"]
    assert len(before) - len(clean_nodes) == 1
    assert link_ids == {link[0]: link[0] for link in clean_links}
    assert (told["rules"]["MODEL"], told["rules"]["IMAGE"]) == ("ref", "val")
    assert told["info"]["pass_by"] == "ref"
    assert "SaveImage" not in {each["type"] for each in told["pruned"]["nodes"]}
    (output,) = server.Worker.outputs(told["used"].histories[0])
    assert output.filename.startswith("saved_")


async def test_e13_pipeline(play: Play, folder: Path) -> None:
    """One picture, scaled up."""
    stitched, results = await play("e13")
    assert set(stitched["inputs"]) == {"model_name", "input_image", "prompt", "seed"}
    assert set(results) == {"upscaled_image"}
    assert np.asarray(results["upscaled_image"]).shape == (1, 4, 4, 3)
    assert (folder / "output" / "upscaled.png").exists()


async def test_e14_load_once(play: Play, server: Discomfort) -> None:
    """Five pictures of one model."""
    before = await counts(server)
    outputs, kind = await play("e14")
    ran = await counts(server) - before
    assert (len(set(levels(outputs))), kind) == (5, "ref")
    assert ran[f"CheckpointLoaderSimple:{CHECKPOINT}"] <= 1


async def test_e15_first_workflow(play: Play, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Variations differ; the loop survives an error and goes on."""
    images, succeeded = await play("e15")
    assert (folder / "my_first_image.png").exists()
    assert np.allclose(np.diff(levels(images)), 1, atol=1e-3)
    assert succeeded == [1, 3, 4]
    told = [record.getMessage() for record in caplog.records if record.name == "first_workflow"]
    assert [line.partition(":")[0] for line in told] == ["workflow_of_mine.json is missing", "variation -5 failed"]


@pytest.mark.timeout(300)
async def test_e16_sweep(play: Play, folder: Path) -> None:
    """A hundred combinations, a report, and the failures in it."""
    report = await play("e16")
    results = folder / "parameter_sweep_results"
    assert report == json.loads((results / "report.json").read_text())
    assert (len(report), sum(each["success"] for each in report)) == (100, 80)
    assert {each["steps"] for each in report if not each["success"]} == {0}
    assert "80 of 100" in (results / "summary.txt").read_text()
    assert len(list(results.glob("*.png"))) == 80


async def test_e17_input_without_a_port(play: Play) -> None:
    """It is stored, and does not change the picture."""
    images = await play("e17")
    assert len(set(levels(image for image, _ in images))) == 1
    assert [denoise for _, denoise in images] == [0.4, 0.8]


async def test_e18_parallel(play: Play) -> None:
    """Each run has its own result."""
    results = await play("e18")
    assert [seed for seed, _ in results] == list(range(9))
    assert np.allclose(np.diff(levels(each["output_image"] for _, each in results)), 1, atol=1e-3)


async def test_e19_new_context(play: Play) -> None:
    """The second shutdown of the old context is harmless to the new one of the same name."""
    told, keys = await play("e19")
    assert np.allclose(np.diff(levels(image for image, _ in told)), 1, atol=1e-3)
    assert [count for _, count in told] == [4] * 4
    assert keys == ["prompt", "cfg_scale", "seed", "output_image"]


async def test_e20_resumed(script: Callable[[str], Any], server: Discomfort) -> None:
    """What has a file is not done again."""
    module = script("e20")
    assert await module.main(most=2) == [0, 1]
    assert await module.main() == [2, 3, 4]
    assert await module.main() == []


async def test_e21_nodes(play: Play) -> None:
    """INPUT and OUTPUT; ids that are missing, twice there, or without a value are errors that name them."""
    results, image, errors = await play("e21")
    assert np.asarray(results["result"]).shape == np.asarray(image).shape == (1, 8, 16, 3)
    missing, twice, unknown = errors
    assert "unique_id" in missing
    assert "'result'" in twice
    assert "'unknown'" in unknown
