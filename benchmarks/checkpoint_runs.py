"""Runs that use a checkpoint, and servers that have some: with random weights on ComfyUI, simulated on the emulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from random_checkpoint import make_checkpoint, paths_file

Prompt = dict[str, Any]
LOADER = "CheckpointLoaderSimple"
STAND_INS = Path(__file__).with_name("stand_in_models.py")
SIZE = 2_130_000_000
"""Bytes of a simulated checkpoint."""


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}


def sampling(checkpoint: str, seed: int, *, side: int = 64, steps: int = 2, batch: int = 1) -> Prompt:
    """A prompt that samples a picture and saves it."""
    return {
        "1": node(LOADER, ckpt_name=checkpoint),
        "2": node("CLIPTextEncode", text="a lighthouse", clip=["1", 1]),
        "3": node("EmptyLatentImage", width=side, height=side, batch_size=batch),
        "4": node(
            "KSampler", model=["1", 0], positive=["2", 0], negative=["2", 0], latent_image=["3", 0], seed=seed,
            steps=steps, cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "5": node("VAEDecode", samples=["4", 0], vae=["1", 2]),
        "6": node("SaveImage", images=["5", 0], filename_prefix="picture"),
    }  # fmt: skip


def tiny(color: int) -> Prompt:
    """A prompt without a model: a picture of 16 by 16 pixels."""
    picture = node("EmptyImage", width=16, height=16, batch_size=1, color=color)
    return {"1": picture, "2": node("PreviewImage", images=["1", 0])}


def checkpoint_names(shape: str) -> list[str]:
    """Two checkpoints, with different weights."""
    return [f"{shape}-random-{seed}.safetensors" for seed in (1, 2)]


def server_settings(
    comfyui: Path | None, folder: Path, names: Sequence[str], *, shape: str, models: Path | None, simulated: list[str]
) -> dict[str, Any]:
    """The settings of servers that have these checkpoints, which are made unless they are there.

    ``folder`` is for files of this run, ``models`` a folder that keeps the checkpoints. ``simulated`` are options of
    the emulator.
    """
    models = models or folder / "models"
    checkpoints = models / "checkpoints"
    if comfyui:
        for seed, name in enumerate(names, 1):
            make_checkpoint(comfyui, checkpoints / name, shape=shape, seed=seed)
        arguments = ["--extra-model-paths-config", paths_file(models, folder)]
        return {"comfyui_path": str(comfyui), "server_arguments": arguments}
    checkpoints.mkdir(parents=True, exist_ok=True)
    for name in names:
        with (checkpoints / name).open("wb") as file:
            file.truncate(SIZE)  # takes no room on the disk
    arguments = ["--models-directory", str(models), "--extra-nodes", str(STAND_INS), *simulated]
    return {"engine": "emulator", "server_arguments": arguments}
