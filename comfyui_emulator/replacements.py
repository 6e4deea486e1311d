"""Node classes that were renamed or replaced, and how a prompt with the old class becomes one with the new.

ComfyUI 0.14.0 and newer list them at ``/node_replacements``, and rewrite a prompt before it is validated if the old
class is not installed and the new one is. Packs may add their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfyui_emulator.registry import JsonObject, is_link, node_inputs


@dataclass(frozen=True, slots=True)
class NodeReplacement:
    """One replacement, with its parts as they are listed.

    ``widgets`` names the old node's widgets in the order of a workflow's ``widgets_values``. Each of ``inputs`` has a
    ``new_id`` and either an ``old_id`` (the old input that goes there) or a ``set_value`` (a constant); each of
    ``outputs`` has an ``old_idx`` and a ``new_idx``. ``None`` means that nothing is mapped: the new node then has no
    inputs, and its outputs keep their places.
    """

    old: str
    new: str
    widgets: tuple[str, ...] | None = None
    inputs: tuple[Mapping[str, Any], ...] | None = None
    outputs: tuple[Mapping[str, int], ...] | None = None

    def listed(self) -> JsonObject:
        """The entry in ``/node_replacements``."""
        return {
            "new_node_id": self.new,
            "old_node_id": self.old,
            "old_widget_ids": None if self.widgets is None else list(self.widgets),
            "input_mapping": [dict(entry) for entry in self.inputs] if self.inputs else None,
            "output_mapping": [dict(entry) for entry in self.outputs] if self.outputs else None,
        }


def _moved(**inputs: str) -> tuple[Mapping[str, Any], ...]:
    """Inputs of the new node by name, each from one of the old node; two underscores stand for a dot."""
    return tuple({"new_id": new.replace("__", "."), "old_id": old} for new, old in inputs.items())


CORE_REPLACEMENTS = (
    NodeReplacement(
        "ResizeImagesByLongerEdge",
        "ImageScaleToMaxDimension",
        ("longer_edge",),
        (
            *_moved(image="images", largest_size="longer_edge"),
            {"new_id": "upscale_method", "set_value": "lanczos"},
        ),
        ({"new_idx": 0, "old_idx": 0},),
    ),
    NodeReplacement("ImageBatch", "BatchImagesNode", None, _moved(images__image0="image1", images__image1="image2")),
    NodeReplacement(
        "ImageScaleBy",
        "ResizeImageMaskNode",
        ("upscale_method", "scale_by"),
        (
            *_moved(input="image"),
            {"new_id": "resize_type", "set_value": "scale by multiplier"},
            *_moved(resize_type__multiplier="scale_by", scale_method="upscale_method"),
        ),
    ),
    NodeReplacement("T2IAdapterLoader", "ControlNetLoader", None, _moved(control_net_name="t2i_adapter_name")),
    NodeReplacement("Load3DAnimation", "Load3D"),
    NodeReplacement("Preview3DAnimation", "Preview3D"),
    NodeReplacement("SDV_img2vid_Conditioning", "SVD_img2vid_Conditioning"),
    NodeReplacement("ConditioningAverage ", "ConditioningAverage"),
)
"""The replacements of ComfyUI 0.33.0 itself. Those whose old class still exists concern only pages."""


class ReplacementTable:
    """All replacements of one server, by old class, in the order in which they were added."""

    def __init__(self) -> None:
        self._entries: dict[str, list[NodeReplacement]] = {}
        for entry in CORE_REPLACEMENTS:
            self.add(entry)

    def add(self, entry: NodeReplacement) -> None:
        """Add a replacement, unless the same two classes are already listed."""
        known = self._entries.setdefault(entry.old, [])
        if all(other.new != entry.new for other in known):
            known.append(entry)

    def first(self, class_type: object) -> NodeReplacement | None:
        """The replacement that a prompt with this class gets, or ``None``."""
        known = self._entries.get(class_type) if isinstance(class_type, str) else None
        return known[0] if known else None

    def listed(self) -> JsonObject:
        """The content of ``/node_replacements``."""
        return {old: [entry.listed() for entry in entries] for old, entries in self._entries.items()}

    def apply(self, prompt: Mapping[str, Any], registry: Mapping[str, object]) -> dict[str, Any]:
        """The prompt with every replaceable node replaced, and the links to it following its outputs.

        Raises ``TypeError`` or ``AttributeError`` if it is not an object of nodes with objects of inputs (before 0.14,
        ComfyUI accepted some of these). ComfyUI also fails on a replaced node without ``_meta``, or without an input
        that is mapped; here it has none.
        """
        replaced = dict(prompt.items())
        moved: dict[str, NodeReplacement] = {}
        for node_id, node in prompt.items():
            if "class_type" not in node or "inputs" not in node:
                continue
            given = dict(node["inputs"].items())
            entry = self._needed(node["class_type"], registry)
            if entry is None:
                continue
            inputs = {i["new_id"]: i["set_value"] for i in entry.inputs or () if "set_value" in i}
            inputs |= {i["new_id"]: given[i["old_id"]] for i in entry.inputs or () if i.get("old_id") in given}
            replaced[node_id] = {**node, "class_type": entry.new, "inputs": inputs}
            moved[node_id] = entry
        for node in replaced.values() if moved else ():
            for value in node_inputs(node).values():
                if is_link(value) and value[0] in moved:
                    slots = {o["old_idx"]: o["new_idx"] for o in moved[value[0]].outputs or ()}
                    value[1] = slots.get(value[1], value[1])
        return replaced

    def _needed(self, class_type: str, registry: Mapping[str, object]) -> NodeReplacement | None:
        entry = None if class_type in registry else self.first(class_type)
        return entry if entry is not None and entry.new in registry else None
