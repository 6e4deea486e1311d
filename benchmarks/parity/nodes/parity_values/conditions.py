"""Values of text encoders, vision models, hooks and trainings."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, ClassVar

from .base import SEED, Node, native, random


class ParityConditioning(Node):
    """Two conditionings, the first with a pooled output."""

    RETURN_TYPES = ("CONDITIONING",)
    REQUIRED: ClassVar[dict[str, Any]] = {"seed": SEED, "tokens": ("INT", {"default": 7})}

    def make(self, seed: int, tokens: int) -> tuple[Any]:
        """Make it."""
        vectors = [native(random(1, tokens, 6, seed=seed + k)) for k in range(2)]
        return ([[vectors[0], {"pooled_output": native(random(1, 5, seed=seed))}], [vectors[1], {}]],)


class ParitySeen(Node):
    """What a vision model would give."""

    RETURN_TYPES = ("CLIP_VISION_OUTPUT",)
    REQUIRED: ClassVar[dict[str, Any]] = {"seed": SEED}

    def make(self, seed: int) -> tuple[Any]:
        """Make it."""
        return (SimpleNamespace(last_hidden_state=native(random(1, 3, 8, seed=seed))),)


class ParityHooks(Node):
    """One hook, with keyframes of its own."""

    RETURN_TYPES = ("HOOKS",)

    def make(self) -> tuple[Any]:
        """Make it."""
        if "comfyui_emulator" in sys.modules:
            from comfyui_emulator.nodes.conditioning.hooks import Hooks, Keyframe

            return (Hooks(("hook",), (Keyframe(1.0, 0.0),)),)
        import comfy.hooks

        group = comfy.hooks.HookGroup()
        hook = comfy.hooks.WeightHook()
        hook.hook_keyframe.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
        group.add(hook)
        return (group,)


class ParityFloats(Node):
    """Numbers."""

    RETURN_TYPES = ("FLOATS",)

    def make(self) -> tuple[Any]:
        """Make them."""
        return ([0.1, 0.9, 0.4],)


class ParityLosses(Node):
    """Losses of a training."""

    RETURN_TYPES = ("LOSS_MAP",)

    def make(self) -> tuple[Any]:
        """Make them."""
        return ({"loss": [1.0 / (k + 1) + 0.1 * (k % 3) for k in range(50)]},)


class ParityLora(Node):
    """The arrays of a LoRA, and a model that has one, whose metadata may name a factor."""

    RETURN_TYPES = ("LORA_MODEL", "MODEL")
    REQUIRED: ClassVar[dict[str, Any]] = {"factor": ("STRING", {"default": ""})}

    def make(self, factor: str) -> tuple[Any, Any]:
        """Make them."""
        arrays = {f"layer.{name}.weight": native(random(2, 3, seed=k)) for k, name in enumerate(("up", "down"))}
        metadata = {"x.reference_downscale_factor": factor} if factor else None
        return arrays, SimpleNamespace(get_attachment=lambda _name: metadata)
