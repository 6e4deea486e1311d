"""Prompts for comparisons, written in few words.

A case is one prompt that is run on both servers. Modules of ``benchmarks.parity.cases`` make them::

    case("ImageCrop", "at 0,0", image=load("p_smooth.png"), width=10, height=10, x=0, y=0)

An input that is a function is called with the builder of the prompt, so that it can add the nodes it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

Graph = dict[str, dict[str, Any]]
Link = list[Any]
Source = Callable[["Builder"], Link]
End = Literal["image", "mask", "text", "latent"]


class Case(NamedTuple):
    """One prompt, the node that it is about, and how it differs from that node's other cases."""

    node: str
    label: str
    graph: Graph


class Builder:
    """Builds one prompt: called with a class and its inputs, it adds the node and gives a link to an output."""

    def __init__(self) -> None:
        self.graph: Graph = {}

    def __call__(self, class_type: str, slot: int = 0, **inputs: Any) -> Link:
        """Add a node, after the nodes that its inputs need; a link to its output ``slot``."""
        filled = {name: value(self) if callable(value) else value for name, value in inputs.items()}
        node_id = str(len(self.graph) + 1)
        self.graph[node_id] = {"class_type": class_type, "inputs": filled}
        return [node_id, slot]

    def end(self, kind: End, source: Link) -> None:
        """Make an output visible."""
        if kind == "latent":
            self("SaveLatent", samples=source, filename_prefix="parity/latent")
        elif kind == "text":
            self("PreviewAny", source=source)
        else:
            self("PreviewImage", images=self("MaskToImage", mask=source) if kind == "mask" else source)


def made(class_type: str, slot: int = 0, **inputs: Any) -> Source:
    """The output of a node that is added for this."""
    return lambda builder: builder(class_type, slot, **inputs)


def load(name: str, slot: int = 0) -> Source:
    """A sample picture; ``slot`` 1 is its mask."""
    return made("LoadImage", slot, image=name)


def ramp(width: int = 48, height: int = 40) -> Source:
    """A mask with all kinds of values."""
    scaled = {"upscale_method": "bilinear", "width": width, "height": height, "crop": "disabled"}
    return made("ImageToMask", image=made("ImageScale", image=load("p_smooth.png"), **scaled), channel="red")


def case(node: str, label: object = "", ends: Sequence[End | None] = ("image",), **inputs: Any) -> Case:
    """A case of one node. ``ends`` tells by position how each of its outputs is made visible (``None``: not)."""
    builder = Builder()
    node_id, _ = builder(node, **inputs)
    for slot, kind in enumerate(ends):
        if kind is not None:
            builder.end(kind, [node_id, slot])
    return Case(node, str(label)[:80], builder.graph)
