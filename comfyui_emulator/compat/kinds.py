"""The types of ComfyUI's newer schema, and the options of their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

from comfyui_emulator.compat.fields import (
    ComfyTypeI,
    ComfyTypeIO,
    FolderType,
    Input,
    JsonObject,
    MultiInput,
    Output,
    RemoteOptions,
    UploadType,
    WidgetInput,
    given,
)


class _BooleanInput(WidgetInput):
    _options: ClassVar[Sequence[tuple[str, Any, str]]] = (
        ("label_on", None, "label_on"),
        ("label_off", None, "label_off"),
    )


class Boolean(ComfyTypeIO):
    """True or false."""

    io_type, Type, Input = "BOOLEAN", bool, _BooleanInput


class _NumberInput(WidgetInput):
    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        options = super().as_dict()
        if isinstance(options.get("display"), Enum):
            options["display"] = options["display"].value
        return options


class _IntInput(_NumberInput):
    _options: ClassVar[Sequence[tuple[str, Any, str]]] = (
        ("min", None, "min"),
        ("max", None, "max"),
        ("step", None, "step"),
        ("control_after_generate", None, "control_after_generate"),
        ("display_mode", None, "display"),
    )


class Int(ComfyTypeIO):
    """A whole number."""

    io_type, Type, Input = "INT", int, _IntInput


class _FloatInput(_NumberInput):
    _options: ClassVar[Sequence[tuple[str, Any, str]]] = (
        ("min", None, "min"),
        ("max", None, "max"),
        ("step", None, "step"),
        ("round", None, "round"),
        ("display_mode", None, "display"),
        ("gradient_stops", None, "gradient_stops"),
    )


class Float(ComfyTypeIO):
    """A number."""

    io_type, Type, Input = "FLOAT", float, _FloatInput


class _StringInput(WidgetInput):
    _options: ClassVar[Sequence[tuple[str, Any, str]]] = (("dynamic_prompts", None, "dynamicPrompts"),)

    def __init__(
        self,
        id: str,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        multiline: bool = False,
        placeholder: str | None = None,
        *positional: Any,
        **options: Any,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, *positional, **options)
        self.multiline, self.placeholder = multiline, placeholder

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        return super().as_dict() | given(multiline=self.multiline, placeholder=self.placeholder)


class String(ComfyTypeIO):
    """A string."""

    io_type, Type, Input = "STRING", str, _StringInput


class _ComboInput(WidgetInput):
    _options: ClassVar[Sequence[tuple[str, Any, str]]] = (
        ("control_after_generate", None, "control_after_generate"),
        ("upload", None, "upload"),
        ("image_folder", None, "image_folder"),
        ("remote", None, "remote"),
    )
    multiselect = False
    upload: UploadType | None
    image_folder: FolderType | None
    remote: RemoteOptions | None

    def __init__(
        self,
        id: str,  # noqa: A002 - ComfyUI's name
        options: Any = None,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        *positional: Any,
        **more: Any,
    ) -> None:
        super().__init__(id, display_name, optional, tooltip, lazy, *positional, **more)
        if isinstance(options, type) and issubclass(options, Enum):
            options = [member.value for member in options]
        self.options = options
        if isinstance(self.default, Enum):
            self.default = self.default.value

    def as_dict(self) -> JsonObject:
        """The options of the definition."""
        found = super().as_dict()
        for name in ("upload", "image_folder", "remote"):
            found.pop(name, None)
        uploads = {self.upload.value: True} if self.upload else {}
        folder = self.image_folder.value if self.image_folder else None
        remote = self.remote.as_dict() if self.remote else None
        return (
            found
            | uploads
            | given(multiselect=self.multiselect, options=self.options, image_folder=folder, remote=remote)
        )


class _ComboOutput(Output):
    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - ComfyUI's name
        display_name: str | None = None,
        options: list[str] | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        super().__init__(id, display_name, tooltip, is_output_list)
        self.options = options if options is not None else []


class Combo(ComfyTypeIO):
    """One of several options."""

    io_type, Type, Input, Output = "COMBO", str, _ComboInput, _ComboOutput


class _MultiComboInput(_ComboInput):
    _options: ClassVar[Sequence[tuple[str, Any, str]]] = (
        ("placeholder", None, "placeholder"),
        ("chip", None, "chip"),
        ("control_after_generate", None, "control_after_generate"),
    )
    multiselect = True
    placeholder: str | None
    chip: bool | None
    upload = image_folder = remote = None

    def as_dict(self) -> JsonObject:
        """The options of the definition; those of the widget are an object of their own since ComfyUI 0.21."""
        found = super().as_dict()
        widget = {name: found.pop(name) for name in ("placeholder", "chip") if name in found}
        return found | {"multi_select": widget}


class MultiCombo(ComfyTypeI):
    """Any number of the options."""

    io_type, Type, Input = "COMBO", list[str], _MultiComboInput


class Webcam(ComfyTypeIO):
    """A picture from a camera."""

    io_type, Type, Input = "WEBCAM", str, WidgetInput


class MultiType(ComfyTypeI):
    """Several types."""

    io_type, Input = "COMFY_MULTITYPED_V3", MultiInput


# The Python name of every other type, and the type's name if it is not the Python name in capitals.
_LINKED = """
Accumulation/AnyType */Array/Audio/AudioEncoder AUDIO_ENCODER/AudioEncoderOutput AUDIO_ENCODER_OUTPUT/BBOX
BackgroundRemoval BACKGROUND_REMOVAL/Clip/ClipVision CLIP_VISION/ClipVisionOutput CLIP_VISION_OUTPUT/Conditioning
ControlNet CONTROL_NET/Dict/FaceAnalysis FACE_ANALYSIS/File3DAny FILE_3D/File3DFBX FILE_3D_FBX/File3DGLB FILE_3D_GLB
File3DGLTF FILE_3D_GLTF/File3DKSPLAT FILE_3D_KSPLAT/File3DOBJ FILE_3D_OBJ/File3DPLY FILE_3D_PLY
File3DPointCloudAny FILE_3D_POINT_CLOUD_ANY/File3DSPLAT FILE_3D_SPLAT/File3DSPZ FILE_3D_SPZ/File3DSTL FILE_3D_STL
File3DSplatAny FILE_3D_SPLAT_ANY/File3DUSDZ FILE_3D_USDZ/FlowControl FLOW_CONTROL/Gligen/Guider
HookKeyframes HOOK_KEYFRAMES/Hooks/Image/Latent/LatentOperation LATENT_OPERATION
LatentUpscaleModel LATENT_UPSCALE_MODEL/Layers/Load3D LOAD_3D/Load3DAnimation LOAD_3D_ANIMATION
Load3DCamera LOAD3D_CAMERA/Load3DModelInfo LOAD3D_MODEL_INFO/LoraModel LORA_MODEL/LossMap LOSS_MAP/Mask/Mesh/Model
ModelPatch MODEL_PATCH/Noise/Photomaker/Point/SEGS/SVG/Sampler/Sigmas/Splat/StyleModel STYLE_MODEL
TimestepsRange TIMESTEPS_RANGE/Tracks/UpscaleModel UPSCALE_MODEL/Vae/Video/Voxel
WanCameraEmbedding WAN_CAMERA_EMBEDDING
"""


def _linked() -> dict[str, type]:
    found: dict[str, type] = {}
    for entry in _LINKED.strip().replace("\n", "/").split("/"):
        name, _, io_type = entry.partition(" ")
        found[name] = type(name, (ComfyTypeIO,), {"io_type": io_type or name.upper()})
    return found


LINKED = _linked()
globals().update(LINKED)
AnyType = LINKED["AnyType"]

__all__ = [  # noqa: PLE0604 - names that are defined above
    "Boolean",
    "Combo",
    "Float",
    "Input",
    "Int",
    "MultiCombo",
    "MultiType",
    "String",
    "Webcam",
    *LINKED,
]
