"""The server's half of the node pack whose scripts are in ``web``."""

from __future__ import annotations

from typing import Any, ClassVar


class _PackNode:
    RETURN_TYPES: ClassVar = ("IMAGE",)
    OUTPUT_NODE = True
    CATEGORY = "pack"
    FUNCTION = "run"

    def run(self, **inputs: Any) -> tuple[Any]:
        """The first picture that it was given."""
        return (next((value for name, value in inputs.items() if name.startswith("item_")), None),)


class PackSerialized(_PackNode):
    """Its script changes what the text becomes."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name is ComfyUI's
        """A text and a number."""
        return {"required": {"text": ("STRING", {"default": "a"}), "count": ("INT", {"default": 3})}}


class PackGrowing(_PackNode):
    """Its script adds an input for each that is connected."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name is ComfyUI's
        """The first of its pictures."""
        return {"required": {}, "optional": {"item_1": ("IMAGE",)}}


class PackFaulty(_PackNode):
    """Its script does what its title says."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - the name is ComfyUI's
        """A text."""
        return {"required": {"text": ("STRING", {"default": "fine"})}}


NODE_CLASS_MAPPINGS = {"PackSerialized": PackSerialized, "PackGrowing": PackGrowing, "PackFaulty": PackFaulty}
NODE_DISPLAY_NAME_MAPPINGS = {name: f"The {name}" for name in NODE_CLASS_MAPPINGS}
WEB_DIRECTORY = "./web"
