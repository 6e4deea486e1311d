"""The cost of ``Discomfort.run`` beside the bare prompt: ten constants, a picture in, a picture out, many rounds.

    python benchmarks/lists.py [--comfyui PATH] [--options="--cache-classic"] [--rounds 100] [--pictures 1000]

The bare side sends the same nodes through ``run_workflow``, with the constants in them, or with a small picture that
the server makes. Both sides take turns on one server, so that the machine's moods meet both. Figures are medians in
milliseconds of time, and of processor time of this process (which other programs lengthen less).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import shlex
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from discomfort import Discomfort, WorkflowContext
from discomfort._system import shared_memory
from discomfort.context.folders import user_folder
from discomfort.progress import NodeStarted, WorkflowProgress

Prompt = dict[str, Any]
_number = itertools.count(1)
SIDE = 1000
"""Pixels: three floats for each make 12 MB."""


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}


def port(unique_id: str, *source: Any) -> dict[str, Any]:
    """A port: an INPUT, or an OUTPUT that ``source`` feeds."""
    return node("DiscomfortPort", unique_id=unique_id, **({"input_data": list(source)} if source else {}))


def constants() -> dict[str, Any]:
    """Ten constants, one of them new."""
    sizes = {"width": 16, "height": 16, "batch": 1, "color": next(_number), "factor": 0.5, "mode": "normal"}
    return {**sizes, "wide": 8, "high": 8, "x": 1, "y": 2}


def of_constants(values: dict[str, Any]) -> Prompt:
    """Nodes with these constants, or links in their place."""
    picture = {name: values[name] for name in ("width", "height", "color")}
    return {
        "1": node("EmptyImage", **picture, batch_size=values["batch"]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node(
            "ImageBlend", image1=["1", 0], image2=["2", 0], blend_factor=values["factor"], blend_mode=values["mode"]
        ),
        "4": node(
            "ImageCrop", image=["3", 0], width=values["wide"], height=values["high"], x=values["x"], y=values["y"]
        ),
        "5": node("PreviewImage", images=["4", 0]),
    }


def with_ports() -> Prompt:
    """The same with a port for each constant."""
    names = list(constants())
    links = {name: [f"port {name}", 0] for name in names}
    return {**of_constants(links), **{f"port {name}": port(name) for name in names}}


def small(*source: Any) -> Prompt:
    """A corner of a picture as an output of the server."""
    return {
        "8": node("ImageCrop", image=list(source), width=8, height=8, x=0, y=0),
        "9": node("PreviewImage", images=["8", 0]),
    }


def made(side: int) -> dict[str, Any]:
    """A picture that the server makes, and that no cache has."""
    return node("EmptyImage", width=side, height=side, batch_size=1, color=next(_number))


async def in_turns(sides: dict[str, Callable[[], Awaitable[Any]]], rounds: int) -> dict[str, tuple[float, float]]:
    """The median time and processor time of each side, in milliseconds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(rounds + 3):
        for name, side in sides.items():
            begun, used = time.perf_counter(), time.process_time()
            await side()
            if number >= 3:
                found[name].append((time.perf_counter() - begun, time.process_time() - used))
    return {
        name: (statistics.median(each[0] for each in all_) * 1000, statistics.median(each[1] for each in all_) * 1000)
        for name, all_ in found.items()
    }


def tell(title: str, times: dict[str, tuple[float, float]]) -> None:
    """Print what each side needs beyond the first."""
    (name, (bare, bare_used)), *others = times.items()
    print(f"{title}: {name} {bare:.2f} ms ({bare_used:.2f} used here)", flush=True)
    for other, (took, used) in others:
        print(f"  {other}: {took:.2f} ms, so +{took - bare:.2f} ms (+{used - bare_used:.2f} used here)", flush=True)


async def literals(discomfort: Discomfort, context: WorkflowContext, rounds: int) -> None:
    """A prompt with ten constants, and the same from ten variables."""

    async def bare() -> None:
        await discomfort.Worker.run_workflow(of_constants(constants()), False)

    workflow = with_ports()
    with_output = {**workflow, "6": port("number", "port x", 0)}
    sides = {
        "bare": bare,
        "run": lambda: discomfort.run(workflow, constants()),
        "run in a context": lambda: discomfort.run(workflow, constants(), context=context),
        "run with an output": lambda: discomfort.run(with_output, constants()),
    }
    tell("ten constants", await in_turns(sides, rounds))


async def pictures(discomfort: Discomfort, context: WorkflowContext, rounds: int) -> None:
    """A picture of 12 MB into the server, and one out of it."""
    image = np.random.default_rng(0).random((1, SIDE, SIDE, 3), np.float32)

    async def taking() -> None:
        image[0, 0, 0, 0] = (next(_number) % 1000) / 1000  # so that no cache has it
        await discomfort.run({"1": port("image"), **small("1", 0)}, {"image": image}, context=context)

    async def giving() -> None:
        await discomfort.run({"1": made(SIDE), "2": port("image", "1", 0)}, context=context)

    worker = discomfort.Worker
    times = await in_turns(
        {"bare": lambda: worker.run_workflow({"1": made(8), **small("1", 0)}, False), "run": taking}, rounds
    )
    tell("12 MB in", times)
    times = await in_turns(
        {"bare": lambda: worker.run_workflow({"1": made(SIDE), **small("1", 0)}, False), "run": giving}, rounds
    )
    tell("12 MB out", times)


async def loads(discomfort: Discomfort, context: WorkflowContext, rounds: int) -> None:
    """A list like R3 of the examples: how often what stands for the checkpoint is loaded. It goes by reference."""
    started = 0

    def count(progress: WorkflowProgress) -> None:
        nonlocal started
        event = progress.event
        started += isinstance(event, NodeStarted) and event.class_type == "EmptyImage"

    sides = {"width": ["1", 0], "height": ["1", 0]}
    load = {"1": port("side"), "2": node("EmptyImage", batch_size=1, color=next(_number), **sides),
            "3": port("model", "2", 0)}  # fmt: skip
    another = {"1": node("SolidMask", value=0.5, width=8, height=8), "2": node("MaskToImage", mask=["1", 0]),
               "3": node("PreviewImage", images=["2", 0])}  # fmt: skip
    use = {"1": port("model"), "2": port("x"),
           "3": node("ImageCrop", image=["1", 0], width=8, height=8, x=["2", 0], y=0),
           "4": node("PreviewImage", images=["3", 0])}  # fmt: skip
    rules = discomfort.Tools.pass_by_rules
    before, rules["IMAGE"] = rules["IMAGE"], "ref"
    try:
        for x in range(rounds):
            await discomfort.run([load, another, use], {"side": 64, "x": x}, context=context, on_progress=count)
    finally:
        rules["IMAGE"] = before
    print(f"{rounds} rounds of loading, another workflow, and use: loaded {started} times", flush=True)


async def growth(discomfort: Discomfort, rounds: int) -> None:
    """A picture of 10 MB that goes through the server again and again: what grows."""
    process = psutil.Process()
    server = psutil.Process(discomfort.Worker._parts.supervisor.pid)
    workflow = {"1": port("image"), "2": node("ImageInvert", image=["1", 0]), "3": port("image", "2", 0)}
    looks = []
    with WorkflowContext(max_ram_gb=8) as context:
        context.save("image", np.zeros((1, 1024, 813, 3), np.float32))
        for number in range(rounds):
            await discomfort.run(workflow, context=context)
            if number % max(1, rounds // 10) == max(1, rounds // 10) - 1:
                gc.collect()
                memory = shared_memory.FOLDER / user_folder() / context.run_id
                files = [path for folder in (memory, Path(context.receipt_path).parent) for path in folder.iterdir()]
                size = sum(path.stat().st_size for path in memory.iterdir()) >> 20
                told = (process, server)
                looks.append((*(each.memory_info().rss >> 20 for each in told), process.num_fds(), len(files), size))
    names = ("MiB here", "MiB of the server", "descriptors", "files", "MiB in /dev/shm")
    print(f"{rounds} rounds with a picture of 10 MB, after each tenth of them:")
    for name, found in zip(names, zip(*looks, strict=True), strict=True):
        print(f"  {name}: {', '.join(map(str, found))}")


async def measured(options: argparse.Namespace) -> None:
    """Everything, on one server."""
    engine: dict[str, Any] = {"engine": "comfyui" if options.comfyui else "emulator", "comfyui_path": options.comfyui}
    settings = {**engine, "browser": "lazy", "server_arguments": shlex.split(options.options)}
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {options.comfyui or 'emulator'}", flush=True)
    async with await Discomfort.create(**settings) as discomfort:
        with WorkflowContext(max_ram_gb=8) as context:
            await literals(discomfort, context, options.rounds)
            await pictures(discomfort, context, options.rounds)
            await loads(discomfort, context, 10)
        if options.pictures:
            await growth(discomfort, options.pictures)


def main() -> None:
    """Measure everything, in folders of its own on disk."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--comfyui", type=Path, help="a ComfyUI; default: the emulator")
    parser.add_argument("--options", default="", help="further options of the server, such as --cache-classic")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=1000, help="rounds with a picture of 10 MB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        asyncio.run(measured(options))


if __name__ == "__main__":
    main()
