"""Stand-in for ``comfy_api.latest.io``."""

from __future__ import annotations

from comfyui_emulator.compat import kinds
from comfyui_emulator.compat.dynamic_kinds import Autogrow, DynamicCombo, MatchType
from comfyui_emulator.compat.fields import (
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    Custom,
    FolderType,
    Input,
    NumberDisplay,
    Output,
    RemoteOptions,
    UploadType,
    WidgetInput,
    comfytype,
)
from comfyui_emulator.compat.kinds import Boolean, Combo, Float, Int, MultiCombo, MultiType, String, Webcam
from comfyui_emulator.compat.replace import NodeReplace
from comfyui_emulator.compat.schema import (
    ComfyNode,
    Hidden,
    HiddenHolder,
    NodeOutput,
    PriceBadge,
    PriceBadgeDepends,
    Schema,
)
from comfyui_emulator.compat.schema import UIOutput as _UIOutput
from comfyui_emulator.compat.value_kinds import (
    BoundingBox,
    BoundingBoxes,
    Color,
    Colors,
    Compositor,
    Curve,
    Histogram,
    ImageCompare,
    Range,
)

globals().update(kinds.LINKED)

__all__ = [  # noqa: PLE0604 - names that are defined above
    "Autogrow",
    "Boolean",
    "BoundingBox",
    "BoundingBoxes",
    "Color",
    "Colors",
    "Combo",
    "ComfyNode",
    "ComfyTypeI",
    "ComfyTypeIO",
    "Compositor",
    "ControlAfterGenerate",
    "Curve",
    "Custom",
    "DynamicCombo",
    "Float",
    "FolderType",
    "Hidden",
    "HiddenHolder",
    "Histogram",
    "ImageCompare",
    "Input",
    "Int",
    "MatchType",
    "MultiCombo",
    "MultiType",
    "NodeOutput",
    "NodeReplace",
    "NumberDisplay",
    "Output",
    "PriceBadge",
    "PriceBadgeDepends",
    "Range",
    "RemoteOptions",
    "Schema",
    "String",
    "UploadType",
    "Webcam",
    "WidgetInput",
    "_UIOutput",
    "comfytype",
    *kinds.LINKED,
]
