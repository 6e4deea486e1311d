"""Nodes with what the schema has gained since ComfyUI 0.3.64, by 0.33.0."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io


class SchemaDynamic(io.ComfyNode):
    """Inputs that stand for several; shows what it receives."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        number = io.Int.Input("n", default=1, max=9, advanced=True)
        inner = io.DynamicCombo.Option("p", [io.Float.Input("f", optional=True)])
        return io.Schema(
            node_id="SchemaDynamic",
            category="schema/definitions",
            inputs=[
                io.Autogrow.Input("grow", io.Autogrow.TemplatePrefix(io.Int.Input("v"), "v", min=1, max=3)),
                io.Autogrow.Input("named", io.Autogrow.TemplateNames(io.AnyType.Input("x"), ["a", "b"], min=0)),
                io.DynamicCombo.Input(
                    "mode",
                    [
                        io.DynamicCombo.Option("one", [number]),
                        io.DynamicCombo.Option("two", [io.DynamicCombo.Input("sub", [inner])]),
                    ],
                    tooltip="Which.",
                ),
            ],
            outputs=[io.String.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """What it received."""
        told = repr({name: dict(sorted(value.items())) for name, value in sorted(inputs.items())})
        return io.NodeOutput(told, ui={"text": [told]})


class SchemaWidgets(io.ComfyNode):
    """The widgets of structured values, and the newer options."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        stops = [{"offset": 0, "color": [0, 0, 0]}]
        slider = io.NumberDisplay.gradient_slider
        return io.Schema(
            node_id="SchemaWidgets",
            category="schema/definitions",
            inputs=[
                io.Color.Input("colour"),
                io.Colors.Input("colours", default=["#000000"]),
                io.BoundingBox.Input("box", component="Box", force_input=True),
                io.BoundingBoxes.Input("boxes"),
                io.Curve.Input("curve"),
                io.Range.Input("range", display="histogram", show_midpoint=True, value_max=255.0),
                io.ImageCompare.Input("compare"),
                io.Compositor.Input("layers", default={"version": 1}),
                io.Float.Input("part", display_mode=slider, gradient_stops=stops),
                io.Int.Input("seed", control_after_generate=io.ControlAfterGenerate.fixed, raw_link=True),
                io.MultiCombo.Input("several", options=["a", "b"]),
            ],
            outputs=[io.Color.Output("tint"), io.Histogram.Output(display_name="Bins")],
            search_aliases=["other name"],
            is_dev_only=True,
            essentials_category="Basics",
            has_intermediate_output=True,
            price_badge=io.PriceBadge("1", io.PriceBadgeDepends(widgets=["part"])),
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """Nothing."""
        return io.NodeOutput()


class SchemaTypes(io.ComfyNode):
    """The types that are only linked and that came later."""

    NAMES = (
        "Array BackgroundRemoval Dict File3DAny File3DFBX File3DGLB File3DGLTF File3DKSPLAT File3DOBJ File3DPLY "
        "File3DPointCloudAny File3DSPLAT File3DSPZ File3DSTL File3DSplatAny File3DUSDZ LatentUpscaleModel Layers "
        "Load3DModelInfo ModelPatch Splat Tracks"
    )

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        kinds = [getattr(io, name) for name in cls.NAMES.split()]
        inputs = [kind.Input(f"in_{number}") for number, kind in enumerate(kinds)]
        return io.Schema(node_id="SchemaTypes", inputs=inputs, outputs=[kind.Output() for kind in kinds])

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """Nothing."""
        return io.NodeOutput()


class SchemaOpen(io.ComfyNode):
    """Takes every input that a prompt gives."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return io.Schema(node_id="SchemaOpen", inputs=[io.Int.Input("a")], is_output_node=True, accept_all_inputs=True)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """What it received."""
        return io.NodeOutput(ui={"text": [repr(dict(sorted(inputs.items())))]})


NEWER: list[type[io.ComfyNode]] = [SchemaDynamic, SchemaWidgets, SchemaTypes, SchemaOpen]
