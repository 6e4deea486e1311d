"""Nodes with definitions only, which cannot be executed.

These are the loaders that the frontend needs, with empty lists of files, and the nodes of the workflow that it opens
first.
"""

from __future__ import annotations

from typing import Any

from comfyui_emulator.nodes.core_names import ESSENTIALS
from comfyui_emulator.registry import JsonObject, Registry

_NO_FILES: list[Any] = [[]]
_STRENGTH: list[Any] = ["FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}]


def _entry(name: str, required: JsonObject, outputs: list[str], title: str, category: str, module: str) -> JsonObject:
    entry: JsonObject = {
        "input": {"required": required},
        "input_order": {"required": list(required)},
        "is_input_list": False,
        "output": outputs,
        "output_is_list": [False] * len(outputs),
        "output_name": list(outputs),
        "name": name,
        "display_name": title,
        "description": "",
        "python_module": module,
        "category": category,
        "output_node": False,
        "has_intermediate_output": False,
        "search_aliases": [],
    }
    return entry | ({"essentials_category": ESSENTIALS[name]} if name in ESSENTIALS else {})


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
        "model/loaders",
        "nodes",
    ),
    (
        "ImageOnlyCheckpointLoader",
        {"ckpt_name": _NO_FILES},
        ["MODEL", "CLIP_VISION", "VAE"],
        "Load Checkpoint Image Only (img2vid model)",
        "model/loaders",
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
        "Load LoRA (Model and CLIP)",
        "model/loaders",
        "nodes",
    ),
    ("LoraLoaderModelOnly", {"model": ["MODEL"], **_LORA}, ["MODEL"], "Load LoRA", "model/loaders", "nodes"),
    ("VAELoader", {"vae_name": [["pixel_space"]]}, ["VAE"], "Load VAE", "model/loaders", "nodes"),
    (
        "ControlNetLoader",
        {"control_net_name": _NO_FILES},
        ["CONTROL_NET"],
        "Load ControlNet Model",
        "model/loaders",
        "nodes",
    ),
    (
        "UNETLoader",
        {"unet_name": _NO_FILES, "weight_dtype": [_WEIGHTS, {"advanced": True}]},
        ["MODEL"],
        "Load Diffusion Model",
        "model/loaders",
        "nodes",
    ),
    (
        "UpscaleModelLoader",
        _MODEL_NAME,
        ["UPSCALE_MODEL"],
        "Load Upscale Model",
        "model/loaders",
        "comfy_extras.nodes_upscale_model",
    ),
    (
        "StyleModelLoader",
        {"style_model_name": _NO_FILES},
        ["STYLE_MODEL"],
        "Load Style Model",
        "model/loaders",
        "nodes",
    ),
    ("GLIGENLoader", {"gligen_name": _NO_FILES}, ["GLIGEN"], "Load GLIGEN Model", "model/loaders", "nodes"),
]


SAMPLERS = [
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "exp_heun_2_x0",
    "exp_heun_2_x0_sde",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]
_SCHEDULERS = [
    "simple",
    "sgm_uniform",
    "karras",
    "exponential",
    "ddim_uniform",
    "beta",
    "normal",
    "linear_quadratic",
    "kl_optimal",
]

_OPENING: list[tuple[str, JsonObject, list[str], str, str, str]] = [
    (
        "KSampler",
        {
            "model": ["MODEL", {}],
            "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}],
            "sampler_name": [SAMPLERS, {}],
            "scheduler": [_SCHEDULERS, {}],
            "positive": ["CONDITIONING", {}],
            "negative": ["CONDITIONING", {}],
            "latent_image": ["LATENT", {}],
            "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}],
        },
        ["LATENT"],
        "KSampler",
        "model/sampling",
        "nodes",
    ),
    (
        "CLIPTextEncode",
        {"text": ["STRING", {"multiline": True, "dynamicPrompts": True}], "clip": ["CLIP", {}]},
        ["CONDITIONING"],
        "CLIP Text Encode (Prompt)",
        "model/conditioning",
        "nodes",
    ),
    ("VAEDecode", {"samples": ["LATENT", {}], "vae": ["VAE", {}]}, ["IMAGE"], "VAE Decode", "model/latent", "nodes"),
    ("VAEEncode", {"pixels": ["IMAGE"], "vae": ["VAE"]}, ["LATENT"], "VAE Encode", "model/latent", "nodes"),
]


def register(registry: Registry) -> None:
    """Register the definitions."""
    registry.add_definitions({entry[0]: _entry(*entry) for entry in [*_LOADERS, *_OPENING]})
