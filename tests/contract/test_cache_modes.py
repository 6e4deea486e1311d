"""Under every cache of ComfyUI, a run gives its own outputs: run again, after another prompt, half of it cached."""

from __future__ import annotations

import pytest
from contract.engines import EngineUnderTest
from contract.graphs import Prompt, node

from discomfort import ComfyConnector
from discomfort.exceptions import ServerStartError

PRESSURE = "--cache-ram 1000"
"""1000 GB of free memory are never there: a rerun executes again what stands before its outputs. Since 0.3.68."""

MODES = {
    "default": "",
    "classic": "--cache-classic",
    "lru": "--cache-lru 10",
    "none": "--cache-none",
    "pressure-or-no-such-option-before-0.3.68": PRESSURE,
}


def chain(color: int) -> Prompt:
    """A picture that is turned round, with a preview of both."""
    return {
        "1": node("EmptyImage", "Source", width=16, height=16, batch_size=1, color=color),
        "2": node("PreviewImage", "Before", images=["1", 0]),
        "3": node("ImageInvert", "Inverted", image=["1", 0]),
        "4": node("PreviewImage", "After", images=["3", 0]),
    }


async def colors(connector: ComfyConnector, prompt: Prompt) -> dict[str, object]:
    """Title of each output of a run to the color of its picture."""
    history = await connector.run_workflow(prompt, False)
    outputs = connector.outputs(history)
    return {output.title: (await output.image()).getpixel((3, 3)) for output in outputs}


def is_older(engine: EngineUnderTest) -> bool:
    """Whether it is a ComfyUI from before 0.3.68."""
    version = engine.home / "comfyui_version.py"
    return engine.real and '"0.3.64"' in version.read_text()


@pytest.mark.parametrize("mode", MODES)
async def test_runs_under_each_cache(engine: EngineUnderTest, mode: str) -> None:
    """The same prompt twice, another one, the first again: each gives its own two pictures."""
    settings = {**engine.settings, "server_arguments": MODES[mode], "browser": "lazy"}
    red, green = chain(0xFF0000), chain(0x00FF00)
    of_red = {"Before": (255, 0, 0), "After": (0, 255, 255)}
    of_green = {"Before": (0, 255, 0), "After": (255, 0, 255)}
    if MODES[mode] == PRESSURE and is_older(engine):
        with pytest.raises(ServerStartError, match="unrecognized arguments: --cache-ram"):
            await ComfyConnector.launch(**settings)
        return
    async with await ComfyConnector.launch(**settings) as connector:
        seen = [await colors(connector, prompt) for prompt in (red, red, green, red)]
    assert seen == [of_red, of_red, of_green, of_red]
