"""Stand-in for ``comfy_api.latest.io``."""

from __future__ import annotations

from comfyui_emulator.compat import kinds
from comfyui_emulator.compat.fields import (
    ComfyTypeI,
    ComfyTypeIO,
    Custom,
    DynamicInput,
    DynamicOutput,
    FolderType,
    Input,
    NumberDisplay,
    Output,
    RemoteOptions,
    UploadType,
    WidgetInput,
    comfytype,
)
from comfyui_emulator.compat.kinds import (
    AutogrowDynamic,
    Boolean,
    Combo,
    Float,
    Int,
    MatchType,
    MultiCombo,
    MultiType,
    String,
    Webcam,
)
from comfyui_emulator.compat.node_replace import NodeReplace
from comfyui_emulator.compat.schema import ComfyNode, Hidden, HiddenHolder, NodeOutput, Schema
from comfyui_emulator.compat.schema import UIOutput as _UIOutput

globals().update(kinds.LINKED)

__all__ = [  # noqa: PLE0604 - names that are defined above
    "AutogrowDynamic",
    "Boolean",
    "Combo",
    "ComfyNode",
    "ComfyTypeI",
    "ComfyTypeIO",
    "Custom",
    "DynamicInput",
    "DynamicOutput",
    "Float",
    "FolderType",
    "Hidden",
    "HiddenHolder",
    "Input",
    "Int",
    "MatchType",
    "MultiCombo",
    "MultiType",
    "NodeOutput",
    "NodeReplace",
    "NumberDisplay",
    "Output",
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
