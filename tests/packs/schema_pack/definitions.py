"""Nodes that are there for their definitions."""

from __future__ import annotations

from enum import Enum

from comfy_api.latest import io

Own = io.Custom("SCHEMA_OWN")


@io.comfytype(io_type="SCHEMA_OTHER")
class Other(io.ComfyTypeIO):
    """A type with an input of its own."""

    class Input(io.WidgetInput):
        """Has one more option."""

        def __init__(self, id: str, flavour: str, default: str | None = None) -> None:  # noqa: A002 - ComfyUI's name
            super().__init__(id, default=default, extra_dict={"flavour": flavour, "nothing": None})


class Fruit(Enum):
    """A choice."""

    APPLE = "apple"
    PEAR = "pear"


class SchemaInputs(io.ComfyNode):
    """Every kind of input, with every option."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        same = io.MatchType.Template("same", [io.Image, io.Mask])
        return io.Schema(
            node_id="SchemaInputs",
            display_name="Schema Inputs",
            category="schema/definitions",
            description="Everything.",
            inputs=[
                io.Boolean.Input("yes", "Yes", tooltip="Tip.", default=True, label_on="on", label_off="off"),
                io.Int.Input(
                    "whole",
                    default=3,
                    min=1,
                    max=9,
                    step=2,
                    control_after_generate=True,
                    display_mode=io.NumberDisplay.slider,
                ),
                io.Float.Input(
                    "part",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.1,
                    round=0.01,
                    socketless=True,
                    display_mode=io.NumberDisplay.number,
                ),
                io.String.Input("words", multiline=True, placeholder="…", default="x", dynamic_prompts=True),
                io.String.Input("line", force_input=True, optional=True),
                io.Combo.Input("fruit", options=Fruit, default=Fruit.PEAR),
                io.Combo.Input("file", options=["a"], upload=io.UploadType.image, image_folder=io.FolderType.output),
                io.Combo.Input("far", remote=io.RemoteOptions("/x", True, timeout=5, refresh=7)),
                io.MultiCombo.Input("several", options=["a", "b"], default=["a"], placeholder="p", chip=True),
                io.Image.Input("image", lazy=True),
                io.Mask.Input("mask", optional=True, tooltip="A mask."),
                io.AnyType.Input("anything", optional=True),
                io.MultiType.Input("mixed", types=[io.Int, io.Float]),
                io.MultiType.Input(io.Float.Input("widget", default=1.0, optional=True), types=[io.String, io.Mask]),
                io.MatchType.Input("first", template=same),
                io.Webcam.Input("camera", optional=True),
                Own.Input("own", optional=True, extra_dict={"more": 1}),
                Other.Input("other", "sweet", default="d"),
            ],
            outputs=[
                io.Image.Output(),
                io.Mask.Output("a_mask", "A Mask", tooltip="Out.", is_output_list=True),
                io.MatchType.Output(id="matched", template=same),
                io.Combo.Output(options=["a", "b"], display_name="one"),
                Own.Output(display_name="mine"),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            is_experimental=True,
        )

    @classmethod
    def execute(cls, **inputs: object) -> io.NodeOutput:
        """Nothing."""
        return io.NodeOutput()


class SchemaFlags(io.ComfyNode):
    """The flags, and what follows from them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return io.Schema(
            node_id="SchemaFlags",
            is_output_node=True,
            is_deprecated=True,
            is_api_node=True,
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Nothing."""
        return io.NodeOutput()


class SchemaLinked(io.ComfyNode):
    """Every type that is only linked."""

    NAMES = (
        "Accumulation AnyType Audio AudioEncoder AudioEncoderOutput BBOX Clip ClipVision ClipVisionOutput Conditioning "
        "ControlNet FaceAnalysis FlowControl Gligen Guider HookKeyframes Hooks Image Latent LatentOperation Load3D "
        "Load3DAnimation Load3DCamera LoraModel LossMap Mask Mesh Model Noise Photomaker Point SEGS SVG Sampler Sigmas "
        "StyleModel TimestepsRange UpscaleModel Vae Video Voxel WanCameraEmbedding"
    )

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        kinds = [getattr(io, name) for name in cls.NAMES.split()]
        inputs = [kind.Input(f"in_{number}") for number, kind in enumerate(kinds)]
        return io.Schema(node_id="SchemaLinked", inputs=inputs, outputs=[kind.Output() for kind in kinds])

    @classmethod
    def execute(cls, **inputs: object) -> io.NodeOutput:
        """Nothing."""
        return io.NodeOutput()


DEFINITIONS: list[type[io.ComfyNode]] = [SchemaInputs, SchemaFlags, SchemaLinked]

if hasattr(io, "DynamicCombo"):
    from .newer import NEWER

    DEFINITIONS += NEWER
