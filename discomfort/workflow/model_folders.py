"""The folders below ``models`` that ComfyUI's own loaders read, by input, and what helps if a file is not there."""

from __future__ import annotations

import re

_BY_INPUT = {
    "ckpt_name": "checkpoints",
    "lora_name": "loras",
    "vae_name": "vae",
    "unet_name": "diffusion_models",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "photomaker_model_name": "photomaker",
    "audio_encoder_name": "audio_encoders",
}
_BY_CLASS = {
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("LatentUpscaleModelLoader", "model_name"): "latent_upscale_models",
    ("ModelPatchLoader", "name"): "model_patches",
    ("LTXAVTextEncoderLoader", "text_encoder"): "text_encoders",
    ("TrainLoraNode", "existing_lora"): "loras",
    ("DiffusersLoader", "model_path"): "diffusers",
    ("LoadBackgroundRemovalModel", "bg_removal_name"): "background_removal",
    ("FrameInterpolationModelLoader", "model_name"): "frame_interpolation",
    ("LoadMediaPipeFaceLandmarker", "model_name"): "detection",
    ("LoadMoGeModel", "model_name"): "geometry_estimation",
    ("LoadDA3Model", "model_name"): "geometry_estimation",
    ("OpticalFlowLoader", "model_name"): "optical_flow",
}
# CLIPLoader has clip_name, DualCLIPLoader clip_name1 and clip_name2, and so on.
_TEXT_ENCODER = re.compile(r"clip_name\d?")
_INVALID_FILE = re.compile(r"Invalid (?:\w+ )?file: (?P<name>.+?)\s*\Z", re.DOTALL)
"""What the ``VALIDATE_INPUTS`` of LoadImage, LoadImageMask, LoadAudio, LoadVideo and LoadLatent return (0.3.64)."""


def model_folder(class_type: str | None, input_name: str | None) -> str | None:
    """The folder from which this input chooses a file, as ``models/checkpoints``; ``None`` if it is not known.

    Of ComfyUI 0.3.64 and newer; packs that name an input as ComfyUI does read the same folder.
    """
    name = input_name or ""
    found = _BY_CLASS.get((class_type or "", name)) or _BY_INPUT.get(name)
    if found is None and _TEXT_ENCODER.fullmatch(name):
        found = "text_encoders"
    return found and f"models/{found}"


def model_remedy(class_type: str | None, input_name: str | None, value: object) -> str:
    """What helps if ``value`` is not in the list of an input; empty if the input does not choose a model."""
    folder = model_folder(class_type, input_name)
    if folder is None or not isinstance(value, str):
        return ""
    return f"Put {value[:200]!r} into ComfyUI's folder {folder}, or use a model of the list."


def upload_remedy(details: str) -> str:
    """What helps if a loader's own validation found no file; empty if ``details`` do not say so."""
    found = _INVALID_FILE.search(details)
    if found is None:
        return ""
    name = found["name"][:200]
    return f"Upload {name!r} first: connector.upload(…), or --input FILE of discomfort run."
