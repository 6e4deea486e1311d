"""Nodes that are there for what they do."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from comfy.utils import ProgressBar
from comfy_api.latest import ComfyAPI, io, ui
from comfy_execution.graph_utils import GraphBuilder


def native(array: Any) -> Any:
    """An array as the server's nodes take it: numpy's in the emulator, torch's in ComfyUI."""
    array = np.ascontiguousarray(array, dtype=np.float32)
    if "comfyui_emulator" in sys.modules:
        return array
    import torch

    return torch.from_numpy(array)


def schema(name: str, inputs: list[Any], outputs: list[Any], **flags: Any) -> io.Schema:
    """A definition."""
    return io.Schema(node_id=name, category="schema/behaviour", inputs=inputs, outputs=outputs, **flags)


class SchemaText(io.ComfyNode):
    """Tells its input and its id, and cannot be changed from inside."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        fields = [io.Int.Input("value", default=1), io.String.Input("prompt", default="p")]
        return schema("SchemaText", fields, [io.String.Output()], hidden=[io.Hidden.unique_id, io.Hidden.prompt])

    @classmethod
    def execute(cls, value: int, prompt: str) -> io.NodeOutput:
        """The text."""
        try:
            cls.kept = value
        except AttributeError as error:
            locked = "locked" in str(error)
        known = (cls.hidden.unique_id, sorted(cls.hidden.prompt), cls.hidden.dynprompt)
        return io.NodeOutput(f"{value} {prompt} {known} {locked}")


class SchemaPicture(io.ComfyNode):
    """Shows and gives a picture, with progress on the way."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaPicture", [io.Int.Input("side", default=8)], [io.Image.Output()], is_output_node=True)

    @classmethod
    def execute(cls, side: int) -> io.NodeOutput:
        """The picture."""
        picture = native(np.full((1, side, side, 3), 0.5))
        ProgressBar(2).update(1)
        return io.NodeOutput(picture, ui=ui.PreviewImage(picture, cls=cls))


class SchemaSaved(io.ComfyNode):
    """Saves pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaSaved", [io.Image.Input("images")], [], is_output_node=True)

    @classmethod
    def execute(cls, images: Any) -> io.NodeOutput:
        """Save them."""
        return io.NodeOutput(ui=ui.ImageSaveHelper.get_save_images_ui(images, "schema/saved", cls))


class SchemaShow(io.ComfyNode):
    """Shows any value."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaShow", [io.AnyType.Input("value")], [], is_output_node=True)

    @classmethod
    def execute(cls, value: Any) -> io.NodeOutput:
        """Show it."""
        return io.NodeOutput(ui=ui.PreviewText(str(value)))


class SchemaChecked(io.ComfyNode):
    """Refuses 13; runs again for odd numbers."""

    calls = [0]  # noqa: RUF012 - counts in the test

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaChecked", [io.Int.Input("value", default=1)], [io.Int.Output()])

    @classmethod
    def validate_inputs(cls, value: int) -> bool | str:
        """Whether it is good."""
        return True if value != 13 else "unlucky"

    @classmethod
    def fingerprint_inputs(cls, value: int) -> Any:
        """Nothing that is equal to itself, for odd numbers."""
        return float("nan") if value % 2 else 0

    @classmethod
    def execute(cls, value: int) -> io.NodeOutput:
        """How often it ran."""
        cls.calls[0] += 1
        return io.NodeOutput(cls.calls[0])


class SchemaLazy(io.ComfyNode):
    """Asks for one of two."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        fields = [io.Boolean.Input("second"), io.Int.Input("a", lazy=True), io.Int.Input("b", lazy=True)]
        return schema("SchemaLazy", fields, [io.String.Output()])

    @classmethod
    def check_lazy_status(cls, second: bool, a: int | None = None, b: int | None = None) -> list[str]:
        """The one."""
        return ["b" if second else "a"]

    @classmethod
    def execute(cls, second: bool, a: int | None = None, b: int | None = None) -> io.NodeOutput:
        """Both, one of them nothing."""
        return io.NodeOutput(f"{a} {b}")


class SchemaExpand(io.ComfyNode):
    """Becomes another node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaExpand", [io.Int.Input("value")], [io.String.Output()], enable_expand=True)

    @classmethod
    def execute(cls, value: int) -> io.NodeOutput:
        """The graph."""
        graph = GraphBuilder()
        child = graph.node("SchemaLater", value=value + 1)
        return io.NodeOutput(child.out(0), expand=graph.finalize())


class SchemaLater(io.ComfyNode):
    """A coroutine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaLater", [io.Int.Input("value")], [io.String.Output()])

    @classmethod
    async def execute(cls, value: int) -> io.NodeOutput:
        """The text."""
        await ComfyAPI.Execution().set_progress(1, 1)
        return io.NodeOutput(f"later {value}")


class SchemaBlocked(io.ComfyNode):
    """Stops what hangs on it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema("SchemaBlocked", [io.Int.Input("value")], [io.String.Output(), io.String.Output()])

    @classmethod
    def execute(cls, value: int) -> io.NodeOutput:
        """The blocker."""
        return io.NodeOutput(*[None] * value, block_execution="closed")


class SchemaList(io.ComfyNode):
    """Takes lists and gives one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The definition."""
        return schema(
            "SchemaList",
            [io.Int.Input("value")],
            [io.Int.Output(is_output_list=True)],
            is_input_list=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, value: list[int]) -> tuple[list[int]]:
        """The list twice, and the id."""
        return ([*value, *value, int(cls.hidden.unique_id)],)


BEHAVIOUR: list[type[io.ComfyNode]] = [
    SchemaText,
    SchemaPicture,
    SchemaSaved,
    SchemaShow,
    SchemaChecked,
    SchemaLazy,
    SchemaExpand,
    SchemaLater,
    SchemaBlocked,
    SchemaList,
]
