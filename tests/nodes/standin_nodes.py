"""Stand-ins for ComfyUI's nodes that need models, for tests; loads in ComfyUI, in the emulator, and without a server.

They compute something tiny, in which each input can be seen, and count how often they run. ``StandInCounts`` publishes
the counts. With ``STANDINS_REPLACE`` in the environment they take the place of ComfyUI's own nodes, so that workflows
of the UI run as they are.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from typing import Any

import numpy as np

COUNTS: Counter[str] = Counter()
"""How often each node ran in this process: ``class`` or ``class:name``."""

NAMES = ["a.safetensors", "b.safetensors", "sd_xl_base_1.0.safetensors", "sd_xl_offset_example-lora_1.0.safetensors"]


def _made(array: Any) -> Any:
    """As the server has its arrays."""
    try:
        import torch
    except ImportError:
        return array
    return torch.from_numpy(array)


def _number(text: str) -> float:
    return zlib.crc32(text.encode()) % 1000 / 1000


class _Object:
    """What only lives in the server."""

    def __init__(self, kind: str, value: float) -> None:
        self.kind, self.value = kind, value


class CheckpointLoaderSimple:
    """Gives three objects."""

    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"ckpt_name": (NAMES,)}}

    def run(self, ckpt_name: str) -> tuple[_Object, ...]:
        COUNTS[f"CheckpointLoaderSimple:{ckpt_name}"] += 1
        return tuple(_Object(kind, _number(ckpt_name)) for kind in self.RETURN_TYPES)


class LoraLoader:
    """Changes model and clip by the strengths."""

    RETURN_TYPES = ("MODEL", "CLIP")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        strength = ("FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0})
        required = {"model": ("MODEL",), "clip": ("CLIP",), "lora_name": (NAMES,)}
        return {"required": {**required, "strength_model": strength, "strength_clip": strength}}

    def run(
        self, model: _Object, clip: _Object, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[_Object, _Object]:
        COUNTS[f"LoraLoader:{strength_model:g}"] += 1
        lora = _number(lora_name)
        return (
            _Object("MODEL", model.value + lora * strength_model),
            _Object("CLIP", clip.value + lora * strength_clip),
        )


class CLIPTextEncode:
    """A number for the text."""

    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"text": ("STRING", {"multiline": True}), "clip": ("CLIP",)}}

    def run(self, text: str, clip: _Object) -> tuple[_Object]:
        COUNTS["CLIPTextEncode"] += 1
        return (_Object("CONDITIONING", clip.value + _number(text)),)


class EmptyLatentImage:
    """Zeros."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        number = ("INT", {"default": 64, "min": 8, "max": 4096})
        return {"required": {"width": number, "height": number, "batch_size": ("INT", {"default": 1, "min": 1})}}

    def run(self, width: int, height: int, batch_size: int) -> tuple[dict[str, Any]]:
        COUNTS["EmptyLatentImage"] += 1
        return ({"samples": _made(np.zeros((batch_size, 4, height // 8, width // 8), np.float32))},)


class VAEEncode:
    """The mean of the picture."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"pixels": ("IMAGE",), "vae": ("VAE",)}}

    def run(self, pixels: Any, vae: _Object) -> tuple[dict[str, Any]]:
        COUNTS["VAEEncode"] += 1
        level = float(pixels.mean()) + vae.value
        return ({"samples": _made(np.full((1, 4, 2, 2), level, np.float32))},)


class KSampler:
    """The sum of all its numbers, as a latent."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {
            "required": {
                "model": ("MODEL",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
                "cfg": ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}),
                "sampler_name": (["euler", "ddim"],),
                "scheduler": (["normal", "karras"],),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "latent_image": ("LATENT",),
                "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}),
            }
        }

    def run(
        self, model: _Object, positive: _Object, latent_image: dict[str, Any], seed: int, steps: int, cfg: float,
        denoise: float, negative: _Object | None = None, **_: str,
    ) -> tuple[dict[str, Any]]:  # fmt: skip
        COUNTS["KSampler"] += 1
        level = model.value + positive.value + seed % 1000 + steps / 100 + cfg / 10
        if negative is not None:
            level -= negative.value / 2
        return ({"samples": latent_image["samples"] * (1 - denoise) + level},)


class _SmallSampler(KSampler):
    """With fewer inputs to state."""

    _LEFT_OUT = frozenset({"sampler_name", "scheduler", "negative"})

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        inputs = super().INPUT_TYPES()["required"]
        return {"required": {each: inputs[each] for each in inputs if each not in cls._LEFT_OUT}}


class VAEDecode:
    """A picture whose level is that of the latent, with as many pixels."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"samples": ("LATENT",), "vae": ("VAE",)}}

    def run(self, samples: dict[str, Any], vae: _Object) -> tuple[Any]:
        COUNTS["VAEDecode"] += 1
        batch, _, height, width = samples["samples"].shape
        levels = np.asarray(samples["samples"], np.float32).mean(axis=(1, 2, 3)) + vae.value
        return (_made(np.full((batch, height, width, 3), levels.reshape(-1, 1, 1, 1), np.float32)),)


class StandInRange:
    """A list output: 0 … count-1."""

    RETURN_TYPES = ("INT",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"count": ("INT", {"default": 3, "min": 0, "max": 1000})}}

    def run(self, count: int) -> tuple[list[int]]:
        return (list(range(count)),)


class StandInAdd:
    """A sum."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        number = ("INT", {"default": 0, "min": -(2**53), "max": 2**53})
        return {"required": {"a": number, "b": number}}

    def run(self, a: int, b: int) -> tuple[int]:
        COUNTS["StandInAdd"] += 1
        return (a + b,)


class StandInObject:
    """An object of a type that no rule names, which cannot be stored; or a number, which can."""

    RETURN_TYPES = ("STANDIN_OBJECT", "STANDIN_NUMBER")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"value": ("INT", {"default": 0})}}

    def run(self, value: int) -> tuple[_Object, int]:
        COUNTS["StandInObject"] += 1
        return _Object("STANDIN_OBJECT", value), value


class StandInValue:
    """The number in an object."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"object": ("STANDIN_OBJECT",)}}

    def run(self, object: _Object) -> tuple[int]:  # noqa: A002 - the name of the input
        return (int(object.value),)


class StandInAny:
    """Anything."""

    RETURN_TYPES = ("*",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"value": ("*", {})}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: dict[str, Any]) -> bool:  # noqa: N802 - ComfyUI's name
        return True

    def run(self, value: Any) -> tuple[Any]:
        return (value,)


class StandInFail:
    """Raises for numbers below zero."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"value": ("INT", {"default": 0, "min": -(2**53), "max": 2**53})}}

    def run(self, value: int) -> tuple[int]:
        if value < 0:
            raise ValueError(f"{value} is below zero")
        return (value,)


class StandInImprove:
    """A brighter picture."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",)}}

    def run(self, image: Any) -> tuple[Any]:
        COUNTS["StandInImprove"] += 1
        return (image + 0.125,)


class StandInJudge:
    """The mean of a picture, as its quality."""

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",), "prompt": ("STRING", {"default": ""})}}

    def run(self, image: Any, prompt: str) -> tuple[float]:
        return (float(image.mean()),)


class StandInCounts:
    """Publishes how often nodes ran."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls) -> float:  # noqa: N802 - ComfyUI's name
        return float("nan")

    def run(self) -> dict[str, Any]:
        return {"ui": {"text": [json.dumps(COUNTS)]}}


_OF_COMFYUI = (CheckpointLoaderSimple, LoraLoader, CLIPTextEncode, EmptyLatentImage, VAEEncode, KSampler, VAEDecode)
_OWN = (
    StandInRange, StandInAdd, StandInObject, StandInValue, StandInAny, StandInFail, StandInImprove, StandInJudge,
    StandInCounts,
)  # fmt: skip
for _class in (*_OF_COMFYUI, *_OWN):
    _class.CATEGORY = "stand-in"  # type: ignore[attr-defined]

_REPLACED = {each.__name__: each for each in _OF_COMFYUI}
_OWN_NAMES = {"StandIn" + each.__name__.removeprefix("StandIn"): each for each in (*_OF_COMFYUI, *_OWN)}
NODE_CLASS_MAPPINGS: dict[str, type] = {**_REPLACED, **_OWN_NAMES, "StandInKSampler": _SmallSampler}
"""Under the names of ComfyUI's nodes, which ComfyUI itself keeps, and all with the prefix ``StandIn``."""
NODE_DISPLAY_NAME_MAPPINGS = {name: f"Stand-in {name}" for name in NODE_CLASS_MAPPINGS}

if os.environ.get("STANDINS_REPLACE"):
    try:
        import nodes as _nodes
    except ImportError:  # the emulator takes ours
        pass
    else:
        _nodes.NODE_CLASS_MAPPINGS.update(_REPLACED)
