"""Nodes that save and load what a training needs and makes: latents with their conditionings, and LoRAs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator import runtime
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.model_folders import ModelFolders
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, integer, link, node, text
from comfyui_emulator.nodes.datasets.storage import place
from comfyui_emulator.nodes.datasets.torch_files import read_values, write_values
from comfyui_emulator.nodes.latents.tensorfile import write_tensors

log = logging.getLogger("comfyui_emulator")
_PLACE: dict[str, Any] = {"v3": True, "EXPERIMENTAL": True}
_TRAINING: dict[str, Any] = {"module": "comfy_extras.nodes_dataset", "category": "model/training", **_PLACE}
_SHARDS = "shard_*.pkl"


def _root() -> Path:
    return ModelFolders(runtime.context().folders).places("datasets")[0]


def _folder(name: str) -> Path:
    """A data set's folder. Raises ``ValueError`` if it is outside of the folder of data sets, or that folder itself."""
    found = place(_root(), name)
    if os.path.realpath(found) == os.path.realpath(_root()):
        raise ValueError("folder_name must name a subfolder of the datasets directory, e.g. 'my_dataset'.")
    return found


def datasets() -> list[str]:
    """The names of all data sets: folders with ``metadata.json`` or safetensors files, but none inside another."""
    root, seen, found = _root(), set(), []
    for here, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        whole = "metadata.json" in files or any(name.endswith(".safetensors") for name in files)
        if Path(here) != root and real not in seen and whole:
            found.append(Path(here).relative_to(root).as_posix())
            folders.clear()
        elif real in seen:
            # Symbolic links may lead back.
            folders.clear()
        seen.add(real)
    return sorted(found)


@node(
    "SaveTrainingDataset",
    {
        "latents": link("LATENT"),
        "conditioning": link("CONDITIONING"),
        "folder_name": text(default="training_dataset", multiline=False),
        "shard_size": integer(1000, 1, 100000, advanced=True),
    },
    "",
    hidden=HIDDEN_METADATA_V3,
    title="Save Training Dataset",
    OUTPUT_NODE=True,
    INPUT_IS_LIST=True,
    **_TRAINING,
)
def save_dataset(
    latents: Sequence[Any], conditioning: Sequence[Any], folder_name: Sequence[str], shard_size: Sequence[int], **_: Any
) -> tuple[()]:
    """Write latents and their conditionings as files of torch's, so many to a file (since ComfyUI 0.3.76)."""
    if len(latents) != len(conditioning):
        raise ValueError(
            f"Number of latents ({len(latents)}) does not match number of conditions ({len(conditioning)}). "
            f"Something went wrong in dataset preparation."
        )
    target, size = _folder(folder_name[0]), shard_size[0]
    target.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(latents), size)
    for number, start in enumerate(starts):
        part = slice(start, start + size)
        shard = {"latents": list(latents[part]), "conditioning": list(conditioning[part])}
        write_values(target / f"shard_{number:04d}.pkl", shard)
    about = {"num_samples": len(latents), "num_shards": len(starts), "shard_size": size}
    (target / "metadata.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    log.info("Saved %d samples in %d files in %s", len(latents), len(starts), target)
    return ()


def _choice() -> dict[str, Any]:
    return {"required": {"folder_name": ["COMBO", {"multiselect": False, "options": datasets()}]}}


@node(
    "LoadTrainingDataset",
    None,
    "LATENT CONDITIONING",
    names="latents conditioning",
    lists=[True, True],
    title="Load Training Dataset",
    INPUT_TYPES=_choice,
    **_TRAINING,
)
def load_dataset(folder_name: str) -> tuple[list[Any], list[Any]]:
    """Read such files, also those that a ComfyUI wrote. A file that holds more than arrays and values is refused."""
    folder = _folder(folder_name)
    if not folder.is_dir():
        raise ValueError(f"Dataset folder {folder_name!r} not found in: {_root()}")
    paths = sorted(folder.glob(_SHARDS))
    if not paths:
        raise ValueError(f"No shard files found in {folder}")
    shards = [read_values(path) for path in paths]
    latents, conditioning = ([one for shard in shards for one in shard[key]] for key in ("latents", "conditioning"))
    return latents, conditioning


@node(
    "SaveLoRA",
    {
        "lora": link("LORA_MODEL"),
        "prefix": text(default="loras/ComfyUI_trained_lora", multiline=False),
    },
    "",
    optional={"steps": integer()},
    hidden=HIDDEN_METADATA_V3,
    module="comfy_extras.nodes_train",
    category="model/merging",
    title="Save LoRA Weights",
    OUTPUT_NODE=True,
    **_PLACE,
)
def save_lora(
    lora: Mapping[str, npt.NDArray[np.float32]], prefix: str, steps: int | None = None, **_: Any
) -> tuple[()]:
    """Write the arrays of a LoRA, which a stand-in has to make, as 32-bit floats. Nothing is told to the frontend."""
    if not isinstance(lora, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(lora)}")  # noqa: TRY004 - ComfyUI's type
    target, stem, counter, _subfolder = next_save_path(prefix, runtime.context().folders.output)
    after = "" if steps is None else f"_{steps}_steps"
    write_tensors(target / f"{stem}{after}_{counter:05}_.safetensors", dict(sorted(lora.items())), None)
    return ()
