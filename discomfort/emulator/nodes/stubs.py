"""The loaders without which the frontend can not work: known by definition, with no files to offer."""

from __future__ import annotations

from typing import Any

from discomfort.emulator.registry import JsonObject, Registry

_NO_FILES: list[Any] = [[]]
_STRENGTH: list[Any] = ["FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}]


def _entry(name: str, required: JsonObject, outputs: list[str], title: str, category: str, module: str) -> JsonObject:
    return {
        "input": {"required": required},
        "input_order": {"required": list(required)},
        "output": outputs,
        "output_is_list": [False] * len(outputs),
        "output_name": list(outputs),
        "name": name,
        "display_name": title,
        "description": "",
        "python_module": module,
        "category": category,
        "output_node": False,
    }


_LORA: JsonObject = {"lora_name": [[]], "strength_model": _STRENGTH}
_WEIGHTS = ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
_MODEL_NAME: JsonObject = {"model_name": ["COMBO", {"multiselect": False, "options": []}]}

# name, inputs, outputs, title, category, module
_LOADERS: list[tuple[str, JsonObject, list[str], str, str, str]] = [
    (
        "CheckpointLoaderSimple",
        {"ckpt_name": [[], {}]},
        ["MODEL", "CLIP", "VAE"],
        "Load Checkpoint",
        "loaders",
        "nodes",
    ),
    (
        "ImageOnlyCheckpointLoader",
        {"ckpt_name": _NO_FILES},
        ["MODEL", "CLIP_VISION", "VAE"],
        "Image Only Checkpoint Loader (img2vid model)",
        "loaders/video_models",
        "comfy_extras.nodes_video_model",
    ),
    (
        "LoraLoader",
        {
            "model": ["MODEL", {}],
            "clip": ["CLIP", {}],
            "lora_name": [[], {}],
            "strength_model": _STRENGTH,
            "strength_clip": _STRENGTH,
        },
        ["MODEL", "CLIP"],
        "Load LoRA",
        "loaders",
        "nodes",
    ),
    ("LoraLoaderModelOnly", {"model": ["MODEL"], **_LORA}, ["MODEL"], "LoraLoaderModelOnly", "loaders", "nodes"),
    ("VAELoader", {"vae_name": [["pixel_space"]]}, ["VAE"], "Load VAE", "loaders", "nodes"),
    (
        "ControlNetLoader",
        {"control_net_name": _NO_FILES},
        ["CONTROL_NET"],
        "Load ControlNet Model",
        "loaders",
        "nodes",
    ),
    (
        "UNETLoader",
        {"unet_name": _NO_FILES, "weight_dtype": [_WEIGHTS]},
        ["MODEL"],
        "Load Diffusion Model",
        "advanced/loaders",
        "nodes",
    ),
    (
        "UpscaleModelLoader",
        _MODEL_NAME,
        ["UPSCALE_MODEL"],
        "Load Upscale Model",
        "loaders",
        "comfy_extras.nodes_upscale_model",
    ),
    ("StyleModelLoader", {"style_model_name": _NO_FILES}, ["STYLE_MODEL"], "Load Style Model", "loaders", "nodes"),
    ("GLIGENLoader", {"gligen_name": _NO_FILES}, ["GLIGEN"], "GLIGENLoader", "loaders", "nodes"),
]


def register(registry: Registry) -> None:
    """Offer the loaders' definitions."""
    registry.add_definitions({entry[0]: _entry(*entry) for entry in _LOADERS})
