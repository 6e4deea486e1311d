"""Outputs of a server without our nodes: what collects the value of a port there, and the value made of it again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from discomfort._json import JsonObject
from discomfort._system.concurrency import to_thread
from discomfort.context.trees import NodeList
from discomfort.core_values.core_files import read_latent, read_png
from discomfort.exceptions import DamagedDataError
from discomfort.workflow.compilation import Sink
from discomfort.workflow.prompt_ports import PromptPort

if TYPE_CHECKING:
    from discomfort.client.outputs import Output
    from discomfort.context.tensors import TensorKind

OutputKind = Literal["IMAGE", "MASK", "LATENT", "text", "number", ""]

LATENT_FOLDER = "discomfort"
"""Folder in the server's output folder for the files that ``SaveLatent`` writes."""

_KINDS: Mapping[str, OutputKind] = {
    "IMAGE": "IMAGE", "MASK": "MASK", "LATENT": "LATENT", "STRING": "text", "COMBO": "text", "INT": "number",
    "FLOAT": "number", "NUMBER": "number", "BOOLEAN": "number",
}  # fmt: skip
_CLASSES: Mapping[OutputKind, tuple[str, ...]] = {
    "IMAGE": ("PreviewImage",), "MASK": ("MaskToImage", "PreviewImage"), "LATENT": ("SaveLatent", "PreviewAny"),
    "text": ("PreviewAny",), "number": ("PreviewAny",),
}  # fmt: skip
_WORDS = {"True": True, "False": False, "None": None}
_KEY = re.compile(r"'(\w+)': ")


def output_kind(kind: str) -> OutputKind:
    """How the value of a port of this type comes back; empty if it cannot."""
    found = {_KINDS.get(each.strip().upper(), "") for each in kind.split(",")}
    return found.pop() if len(found) == 1 else ""


def output_classes(kind: OutputKind) -> tuple[str, ...]:
    """The classes of the nodes that bring it."""
    return _CLASSES.get(kind, ())


@dataclass(slots=True)
class Collector:
    """What collects the value of one port. ``nodes`` are the nodes whose outputs count, ``is_list`` says of the source
    whether it is a list.
    """

    kind: OutputKind
    port: PromptPort
    nodes: tuple[str, ...] = ()
    is_list: bool = False

    def sink(self) -> Sink:
        """The node in place of the port."""
        if self.kind == "IMAGE":
            return Sink("PreviewImage", name="images")
        if self.kind == "MASK":
            return Sink("MaskToImage", name="mask")
        if self.kind == "LATENT":
            return Sink("SaveLatent", {"filename_prefix": f"{LATENT_FOLDER}/latent"}, name="samples")
        return Sink("PreviewAny", name="source")

    def complete(self, prompt: JsonObject, *, is_list: bool) -> None:
        """Add the nodes behind or beside it."""
        self.is_list, own = is_list, self.port.node_id
        self.nodes = (own,)
        if self.kind == "MASK":
            self.nodes = (_added(prompt, own, "PreviewImage", images=[own, 0]),)
        elif self.kind == "LATENT":
            # Its text names what a latent has beside the samples, which SaveLatent leaves out.
            self.nodes = (own, _added(prompt, own, "PreviewAny", source=prompt[own]["inputs"]["samples"]))

    async def value(self, outputs: Mapping[str, Sequence[Output]], tensor_kind: TensorKind) -> Any:
        """The value. Raises LookupError if nothing arrived, DamagedDataError, ServerError."""
        found = [each for each in outputs.get(self.nodes[0], ()) if each.key in ("images", "latents", "text")]
        if not found:
            raise LookupError(self.port.unique_id)
        if self.kind in ("IMAGE", "MASK"):
            pictures = [await each.read() for each in found]
            return await to_thread(_batch, pictures, tensor_kind, is_mask=self.kind == "MASK")
        if self.kind == "LATENT":
            data = await found[0].read()
            return {"samples": await to_thread(read_latent, data, tensor_kind)}
        values = [self.shown_value(each.value) for each in found]
        return NodeList(values) if self.is_list or len(values) > 1 else values[0]

    def lost_keys(self, outputs: Mapping[str, Sequence[Output]]) -> list[str]:
        """What a latent had beside its samples."""
        texts = [str(each.value) for node_id in self.nodes[1:] for each in outputs.get(node_id, ())]
        return sorted({key for text in texts for key in _KEY.findall(text)} - {"samples", "downscale_ratio_spacial"})

    def shown_value(self, text: object) -> Any:
        """The number or text that a preview shows. Raises DamagedDataError."""
        if self.kind == "text" or not isinstance(text, str):
            return text
        if text in _WORDS:
            return _WORDS[text]
        kinds = self.port.type.upper()
        for number in (int, float):
            try:
                value = number(text)
            except ValueError:
                continue
            return float(value) if kinds == "FLOAT" else value
        raise DamagedDataError(f"the port {self.port.unique_id!r} of type {self.port.type} gave the text {text[:80]!r}")


def _added(prompt: JsonObject, beside: str, class_type: str, **inputs: Any) -> str:
    """Add a node, and return its id."""
    node_id = f"{beside}-collected"
    while node_id in prompt:
        node_id += "-"
    title = (prompt[beside].get("_meta") or {}).get("title") or class_type
    prompt[node_id] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}
    return node_id


def _batch(pictures: Sequence[bytes], tensor_kind: TensorKind, *, is_mask: bool) -> Any:
    """The pictures as one tensor. Raises DamagedDataError."""
    import numpy as np

    from discomfort.context.tensors import made_of

    levels = [read_png(data) for data in pictures]
    if len({each.shape for each in levels}) > 1:
        raise DamagedDataError("the pictures of one batch have several sizes")
    batch = np.stack([each[..., 0] if is_mask else each for each in levels])
    return made_of(batch, "F32", tensor_kind)
