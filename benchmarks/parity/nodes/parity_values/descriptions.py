"""Values from JSON, lists, and the node that shows any value as text and numbers."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np

from .base import Node, native

MESH = "uvs vertex_colors texture metallic_roughness vertex_counts face_counts unlit normals tangents normal_map"
MESH += " occlusion_in_mr emissive"
SPLAT = "positions scales rotations opacities sh counts"


class ParityJson(Node):
    """Any value, told as JSON."""

    RETURN_TYPES = ("*",)
    REQUIRED: ClassVar[dict[str, Any]] = {"text": ("STRING", {"default": "{}"})}

    def make(self, text: str) -> tuple[Any]:
        """Make it."""
        return (json.loads(text),)


class ParityList(Node):
    """Two values as a list."""

    RETURN_TYPES = ("LATENT",)
    OUTPUT_IS_LIST = (True,)
    REQUIRED: ClassVar[dict[str, Any]] = {"first": ("LATENT",), "second": ("LATENT",)}

    def make(self, first: Any, second: Any) -> tuple[Any]:
        """Make it."""
        return ([first, second],)


class ParityDescribe(Node):
    """The structure of any value as text, and all its numbers as a latent."""

    RETURN_TYPES = ("STRING", "LATENT")
    REQUIRED: ClassVar[dict[str, Any]] = {"value": ("*",)}
    INPUT_IS_LIST = True

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: Any) -> bool:  # noqa: N802 - ComfyUI's name
        """Take everything."""
        return True

    def make(self, value: list[Any]) -> tuple[str, Any]:
        """Describe it."""
        numbers: list[Any] = [np.zeros(1)]
        text = json.dumps(self.structure(value, numbers))
        flat = np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1) for part in numbers])
        return text, {"samples": native(np.nan_to_num(flat, posinf=9e5, neginf=-9e5)[None, None, None])}

    def structure(self, value: Any, numbers: list[Any]) -> Any:
        """Names, kinds and shapes; floating numbers and arrays go to ``numbers``."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if getattr(value, "is_nested", False):
            return self.structure(["joint", *value.unbind()], numbers)
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            numbers.append(np.asarray(value))
            return f"array{list(value.shape)}"
        if isinstance(value, float):
            numbers.append(value)
            return "float"
        if isinstance(value, dict):
            return {key: self.structure(value[key], numbers) for key in sorted(value)}
        if isinstance(value, list | tuple):
            return [self.structure(item, numbers) for item in value]
        if hasattr(value, "to_lut"):
            return self.structure([value.points, value.to_lut(65), value.interp(0.3)], numbers)
        return self.of_object(value, numbers)

    def of_sampler(self, value: Any) -> list[Any]:
        """Name and options of ComfyUI's sampler; one without a function is named by its class."""
        if not hasattr(value, "sampler_function"):
            return [f"sample_{type(value).__name__}", {}]
        # Two methods are wrapped in functions of other names.
        name = value.sampler_function.__name__.removeprefix("sample_").removesuffix("_function")
        return [f"sample_{name}", value.extra_options]

    def of_object(self, value: Any, numbers: list[Any]) -> Any:
        """The same of an object: what it is asked for by those who use it."""
        if hasattr(value, "generate_noise"):
            empty = native(np.zeros((2, 3, 7, 5)))
            given = [{"samples": empty}, {"samples": empty, "batch_index": [3, 1]}, {"samples": empty[:, :, :1, :2]}]
            return self.structure([value.generate_noise(latent) for latent in given], numbers)
        if hasattr(value, "max_denoise"):
            return self.structure(self.of_sampler(value), numbers)
        if hasattr(value, "get_components"):
            about = [value.get_bit_depth(), value.get_color_space(), value.get_frame_count(), value.get_duration()]
            value = value.get_components()
            return self.structure([about, value.images, value.audio, float(value.frame_rate)], numbers)
        if hasattr(value, "hooks"):
            keyframes = getattr(value, "keyframes", None)
            if keyframes is None and value.hooks:
                keyframes = getattr(value.hooks[0], "hook_keyframe", None)
            return [len(value.hooks), self.structure(keyframes, numbers)]
        if callable(value):
            # Powers of powers differ in their last digits, so it is the logarithms that are compared.
            found = np.asarray(value(native(np.array([2.5]))), dtype=np.float64)
            return self.structure(np.log1p(np.abs(found)), numbers)
        return self.of_solid(value, numbers)

    def of_solid(self, value: Any, numbers: list[Any]) -> Any:
        """The same of what has attributes."""
        if hasattr(value, "vertices"):
            return self.structure([value.vertices, value.faces, self.kept(value, MESH)], numbers)
        if hasattr(value, "rotations"):
            return self.structure(self.kept(value, SPLAT), numbers)
        if hasattr(value, "get_bytes"):
            return [value.format, len(value.get_bytes())]
        for names in (("name", "options"), ("start_percent", "guarantee_steps", "strength"), ("keyframes",)):
            if hasattr(value, names[0]):
                found = [getattr(value, name) for name in names]
                if names[0] == "name":
                    found[0] = f"sample_{found[0]}"
                if names[0] == "start_percent":
                    found[2] = float(found[2])
                return self.structure(found[0] if len(found) == 1 else found, numbers)
        return type(value).__name__

    def kept(self, value: Any, names: str) -> dict[str, Any]:
        """The attributes that an object has."""
        found = {name: getattr(value, name, None) for name in names.split()}
        return {name: part for name, part in found.items() if part is not None}
