"""The simulated device: what it holds can be seen from outside, and loads take the time that is asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfyui_emulator import Faults
from comfyui_emulator.compat import folder_paths, model_management

N = Any
SIZES = {"a": 6, "b": 5, "c": 4}


class _Node:
    CATEGORY = "test"
    FUNCTION = "go"


class _Checkpoint(_Node):
    RETURN_TYPES = ("MODEL", "CLIP", "STRING")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"),)}}

    def go(self, ckpt_name: str) -> tuple[str, ...]:
        return (ckpt_name,) * 3


class _Lora(_Node):
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        names = {"options": folder_paths.get_filename_list("loras")}
        return {"required": {"model": ("MODEL",), "lora_name": ("COMBO", names)}}

    def go(self, model: str, lora_name: str) -> tuple[str]:
        return (f"{model}+{lora_name}",)


class _Guide(_Node):
    RETURN_TYPES = ("GUIDER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"model": ("MODEL",)}}

    def go(self, model: str) -> tuple[str]:
        return (model,)


class _Sampler(_Node):
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        numbers = {"seed": ("INT", {"default": 0}), "steps": ("INT", {"default": 4})}
        return {"required": {"model": ("*",), **numbers}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: dict[str, str]) -> bool:  # noqa: N802 - ComfyUI's name
        return True

    def go(self, model: str, seed: int, steps: int) -> tuple[str]:
        return (f"{model} {seed}",)


class _Switch(_Guide):
    """Passes anything on, as reroutes and switches of packs do."""

    RETURN_TYPES = ("*",)


class _Free(_Node):
    """Empties the device, as nodes of packs do."""

    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {}}

    def go(self) -> tuple[()]:
        model_management.unload_all_models()
        return ()


NODES: dict[str, type] = {
    "Checkpoint": _Checkpoint, "Lora": _Lora, "Guide": _Guide, "Sampler": _Sampler, "Switch": _Switch, "Free": _Free,
}  # fmt: skip


def put(base: Path, name: str, size: float) -> None:
    """A model of that many GB, which takes no room on the disk."""
    path = base / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(round(size * 1e9))


@pytest.fixture
def device(launch: N, tmp_path: Path, nodes: N) -> Callable[..., Any]:
    """``async with device(vram_gb=12) as client``: an emulator with three checkpoints and these settings."""
    for name, size in SIZES.items():
        put(tmp_path, f"checkpoints/{name}.safetensors", size)
    return lambda own=None, **settings: launch(extra_nodes={**nodes, **NODES, **(own or {})}, **settings)


@pytest.fixture
def sample(make: N) -> Callable[..., dict[str, Any]]:
    """A prompt that samples with a checkpoint; ``through`` are classes on the way, ``lora`` a file."""

    def graph(name: str, seed: int = 0, *, through: str = "", lora: str = "", steps: int = 4) -> dict[str, Any]:
        prompt = {"1": make("Checkpoint", ckpt_name=f"{name}.safetensors")}
        if through:
            prompt["2"] = make(through, model=["1", 0])
        if lora:
            prompt["2"] = make("Lora", model=["1", 0], lora_name=lora)
        last = "2" if through or lora else "1"
        prompt["3"] = make("Sampler", model=[last, 0], seed=seed, steps=steps)
        return prompt | {"4": make("PreviewAny", source=["3", 0])}

    return graph


async def models(client: N) -> Any:
    """What the server tells about the models on its device."""
    return (await client.get("/system_stats"))["system"]["discomfort"]["models"]


async def reached(client: N, wanted: Callable[[Any], object]) -> Any:
    """The report of the models once it is as wanted."""
    async with asyncio.timeout(20):
        while not wanted(report := await models(client)):
            pass
    return report


def named(*names: str) -> list[str]:
    return [f"checkpoints/{name}.safetensors" for name in names]


def ends(record: N) -> tuple[str, Any]:
    """The last message of a run."""
    kind, data = record["status"]["messages"][-1]
    return kind, data


# --- what is held ----------------------------------------------------------------------------------------------------


async def test_the_least_recently_used_models_make_room(device: N, sample: N, caplog: pytest.LogCaptureFixture) -> None:
    """Each load and each eviction is counted, is a line in the log, and shows in the memory that is free."""
    caplog.set_level(logging.INFO, "comfyui_emulator")
    async with device(vram_gb=12) as client:
        for name in ("a", "b", "a", "c", "b"):
            await client.run(sample(name))
        stats = await client.get("/system_stats")

    (shown,) = stats["devices"]
    assert stats["system"]["discomfort"]["models"] == {
        "held": named("c", "b"),
        "loading": None,
        "loads": dict(zip(named("a", "b", "c"), (1, 2, 1), strict=True)),
        "evictions": dict.fromkeys(named("b", "a"), 1),
    }
    assert (shown["type"], shown["vram_total"], shown["vram_free"]) == ("emulated", 12 * 10**9, 3 * 10**9)
    assert [line.removeprefix("device: ") for line in caplog.messages if line.startswith("device: ")] == [
        "loaded checkpoints/a.safetensors (6 GB)",
        "loaded checkpoints/b.safetensors (5 GB)",
        "evicted checkpoints/b.safetensors (5 GB) for checkpoints/c.safetensors",
        "loaded checkpoints/c.safetensors (4 GB)",
        "evicted checkpoints/a.safetensors (6 GB) for checkpoints/b.safetensors",
        "loaded checkpoints/b.safetensors (5 GB)",
    ]


async def test_without_settings_there_is_no_device(device: N, sample: N) -> None:
    """Nothing is held, counted or shown."""
    async with device() as client:
        _, record = await client.run(sample("a"))
        stats = await client.get("/system_stats")

    assert record["status"]["completed"]
    assert stats["devices"][0]["type"] == "cpu"
    assert "models" not in stats["system"]["discomfort"]


async def test_memory_without_limit(device: N, sample: N) -> None:
    """With a time for loads alone, everything stays held, and the device is the machine, as before."""
    async with device(load_seconds_per_gb=1e-6) as client:
        for name in ("a", "b", "c", "a"):
            await client.run(sample(name))
        stats = await client.get("/system_stats")

    assert stats["system"]["discomfort"]["models"]["loads"] == dict.fromkeys(named("a", "b", "c"), 1)
    assert stats["devices"][0]["type"] == "cpu"


@pytest.mark.parametrize("cache", ["none", "ram", "classic"])
async def test_a_held_model_is_not_loaded_again(device: N, sample: N, cache: str) -> None:
    """A loader that runs again, because the cache has dropped its result, finds its model held."""
    async with device(vram_gb=12, cache=cache) as client:
        for name in ("a", "b", "a"):
            events, _ = await client.run(sample(name))
        report = await models(client)

    assert "1" in [data["node"] for kind, data in events if kind == "executing"]
    assert report["loads"] == dict.fromkeys(named("a", "b"), 1)


@pytest.mark.parametrize("through", ["", "Guide", "Switch"])
async def test_an_evicted_model_loads_again_where_it_is_used(device: N, sample: N, through: str) -> None:
    """If the cache has the loader's result, and the device not its model, the node that uses it loads it."""
    async with device(vram_gb=8, cache="lru", cache_lru=100) as client:
        await client.run(sample("a", through=through))
        await client.run(sample("b"))
        events, _ = await client.run(sample("a", seed=1, through=through))
        report = await models(client)

    assert [data["node"] for kind, data in events if kind == "executing"] == ["3", "4", None]
    assert (report["held"], report["loads"][named("a")[0]]) == (named("a"), 2)


@pytest.mark.parametrize("data", [["3", 0], ["1", 2]])
async def test_data_bring_no_models(device: N, sample: N, make: N, data: list[Any]) -> None:
    """What was made with a model, or is a loader's text, is used without the model."""
    async with device(vram_gb=8, cache="lru", cache_lru=100) as client:
        await client.run(sample("a"))
        await client.run(sample("b"))
        more = {"5": make("Sampler", model=data, seed=0, steps=1), "6": make("PreviewAny", source=["5", 0])}
        events, _ = await client.run(sample("a") | more)
        report = await models(client)

    assert "5" in [data["node"] for kind, data in events if kind == "executing"]
    assert report["held"] == named("b")


async def test_a_node_that_is_not_called_loads_nothing(device: N, sample: N, make: N) -> None:
    """Because one of its inputs is blocked."""
    async with device(vram_gb=8, cache="lru", cache_lru=100) as client:
        for name in ("a", "b"):
            await client.run(sample(name))
        blocked = sample("a") | {"5": make("Block", value=1, message="")}
        blocked["3"]["inputs"]["seed"] = ["5", 0]
        await client.run(blocked)
        report = await models(client)

    assert report["held"] == named("b")


async def test_models_that_are_larger_together(device: N, sample: N, tmp_path: Path) -> None:
    """They load one after another, each in the place of the one before, and the run succeeds."""
    put(tmp_path, "loras/l.safetensors", 5)
    async with device(vram_gb=8) as client:
        _, record = await client.run(sample("a", lora="l.safetensors"))
        report = await models(client)

    assert record["status"]["completed"]
    assert report["loads"] == {**dict.fromkeys(named("a"), 2), "loras/l.safetensors": 1}
    assert report["held"] == named("a")


async def test_files_of_one_name_are_two_models(device: N, sample: N, tmp_path: Path) -> None:
    """An input names the file of the folder from which its options come."""
    async with device(vram_gb=8) as client:
        await client.get("/object_info")
        put(tmp_path, "loras/a.safetensors", 1)
        await client.run(sample("a", lora="a.safetensors"))
        report = await models(client)

    assert sorted(report["held"]) == [*named("a"), "loras/a.safetensors"]


async def test_a_model_whose_file_has_changed_loads_again(device: N, sample: N, tmp_path: Path) -> None:
    """It is another model, of another size."""
    async with device(vram_gb=8, cache="none") as client:
        await client.run(sample("a"))
        put(tmp_path, "checkpoints/a.safetensors", 7)
        await client.run(sample("a"))
        stats = await client.get("/system_stats")

    assert stats["system"]["discomfort"]["models"]["loads"] == {named("a")[0]: 2}
    assert stats["devices"][0]["vram_free"] == 10**9


async def test_folders_of_packs_have_models_too(device: N, tmp_path: Path, make: N) -> None:
    """A folder below ``models`` that ComfyUI does not know counts."""

    class Own(_Checkpoint):
        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
            return {"required": {"name": (folder_paths.get_filename_list("adapters"),)}}

        def go(self, name: str) -> tuple[str, ...]:
            return (name,) * 3

    put(tmp_path, "adapters/flux/x.safetensors", 2)
    async with device({"Own": Own}, vram_gb=8) as client:
        await client.run({"1": make("Own", name="flux/x.safetensors"), "2": make("PreviewAny", source=["1", 0])})
        report = await models(client)

    assert report["held"] == ["adapters/flux/x.safetensors"]


# --- what empties it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", ["unload_models", "free_memory"])
async def test_free_empties_the_device(device: N, sample: N, wish: str) -> None:
    """Both wishes do, as in ComfyUI; what was unloaded was not evicted."""
    async with device(vram_gb=12) as client:
        await client.run(sample("a"))
        await client.post("/free", json={wish: True})
        report = await reached(client, lambda report: not report["held"])
        stats = await client.get("/system_stats")

    assert report["evictions"] == {}
    assert stats["devices"][0]["vram_free"] == stats["devices"][0]["vram_total"]


async def test_a_pack_empties_the_device(device: N, sample: N, make: N) -> None:
    """By ComfyUI's function for that."""
    async with device(vram_gb=12) as client:
        await client.run(sample("a"))
        await client.run({"1": make("Free")})
        report = await models(client)

    assert report["held"] == []


async def test_a_model_that_is_too_large(device: N, sample: N) -> None:
    """It fails at its loader with torch's error, and the device drops everything, as ComfyUI does then."""
    async with device(vram_gb=5.5) as client:
        await client.run(sample("b"))
        _, record = await client.run(sample("a"))
        report = await models(client)

    kind, error = ends(record)
    assert (kind, error["node_id"], error["exception_type"]) == ("execution_error", "1", "torch.OutOfMemoryError")
    assert error["exception_message"].startswith(
        "Allocation on device: checkpoints/a.safetensors has 6 GB, and the device 5.5\n"
    )
    assert (report["held"], report["loads"]) == ([], dict.fromkeys(named("b"), 1))


async def test_the_fault_of_memory_empties_the_device(device: N, sample: N) -> None:
    """The error of a full device has that effect, wherever it comes from."""
    async with device(vram_gb=12, faults=Faults(oom_at="Sampler")) as client:
        await client.run(sample("a"))
        report = await models(client)

    assert (report["held"], report["loads"]) == ([], dict.fromkeys(named("a"), 1))


# --- time ------------------------------------------------------------------------------------------------------------


async def test_a_load_takes_its_time(device: N, sample: N) -> None:
    """As many seconds as the file has GB, times the setting."""
    async with device(load_seconds_per_gb=0.02) as client:
        begun = time.monotonic()
        await client.run(sample("a"))
        elapsed = time.monotonic() - begun

    assert elapsed >= 0.12


async def test_a_load_is_interrupted(device: N, sample: N, tmp_path: Path) -> None:
    """At once; the model is not held, but what made room for it is gone."""
    put(tmp_path, "checkpoints/b.safetensors", 1e-9)
    async with device(vram_gb=6, load_seconds_per_gb=3600) as client:
        await client.run(sample("b"))
        run = asyncio.create_task(client.run(sample("a")))
        during = await reached(client, lambda report: report["loading"])
        await client.post("/interrupt", json={})
        _, record = await run
        report = await models(client)

    kind, data = ends(record)
    assert (during["loading"], during["held"]) == (named("a")[0], [])
    assert (kind, data["node_id"]) == ("execution_interrupted", "1")
    assert report == {
        "held": [],
        "loading": None,
        "loads": dict.fromkeys(named("b"), 1),
        "evictions": dict.fromkeys(named("b"), 1),
    }
