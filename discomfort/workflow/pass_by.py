"""Rules for how a variable travels, by the type at its port: as a value, as its recipe, or either. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from discomfort.workflow.port_types import is_known

BY_VALUE, BY_REFERENCE, AUTO = "val", "ref", "auto"
CHOICES = (BY_VALUE, BY_REFERENCE, AUTO)
"""The data itself is stored; the recipe is stored; the data if it can be stored, else the recipe."""

_REFERENCES = (
    "MODEL", "CLIP", "VAE", "CONDITIONING", "CONTROL_NET",
    "CLIP_VISION", "STYLE_MODEL", "GLIGEN", "UPSCALE_MODEL", "LATENT_UPSCALE_MODEL", "MODEL_PATCH", "AUDIO_ENCODER",
    "PHOTOMAKER", "SAMPLER", "GUIDER", "NOISE", "HOOKS", "HOOK_KEYFRAMES", "LATENT_OPERATION", "BACKGROUND_REMOVAL",
    "INTERP_MODEL", "MOGE_MODEL", "DA3_MODEL", "OPTICAL_FLOW", "FACE_DETECTION_MODEL", "CLIP_VISION_OUTPUT",
)  # fmt: skip
_VALUES = (
    "LATENT", "IMAGE", "MASK", "STRING", "INT", "FLOAT", "BOOLEAN", "TUPLE", "LIST", "DICT", "ANY",
    "SIGMAS", "AUDIO", "COMBO", "ARRAY",
)  # fmt: skip

BUILT_IN_RULES: Mapping[str, str] = {
    **dict.fromkeys(_REFERENCES, BY_REFERENCE),
    **dict.fromkeys(_VALUES, BY_VALUE),
}
"""The rule of each type, by its name in upper case; a file of the user overrides single ones."""


def pass_by(rules: Mapping[str, str], kind: str) -> str:
    """The rule for a type: ``val``, ``ref`` or ``auto``. Unknown types, and lists of types with several rules: auto."""
    if not is_known(kind):
        return AUTO
    found = {rules.get(each.strip().upper(), AUTO) for each in kind.split(",")}
    return found.pop() if len(found) == 1 else AUTO
