"""Maps the entries of a workflow node's ``widgets_values`` to its inputs.

The frontend saves widget values as a bare list and reads it back by position. The order of the widgets follows from the
node's definition: required inputs, then optional ones, each in ``input_order``; only inputs of a widget type, except
those forced to be sockets; one extra entry after a number with "control after generate", two after such a list;
buttons and players of upload inputs at the end; after a dynamic combo, the widgets of its value. (Found in frontends
1.27.10 and 1.49.6, and checked against saved workflows and official templates.) If that order cannot be proven for a
node, nothing is mapped, because a wrong position would change another input.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from discomfort._json import JsonObject
from discomfort.workflow.dynamic_inputs import (
    AUTOGROW,
    DYNAMIC_COMBO,
    MATCH_TYPE,
    default_value,
    grown_inputs,
    input_specs,
    option_inputs,
    spec_settings,
    widget_type,
)
from discomfort.workflow.input_values import BOX
from discomfort.workflow.nodes import class_of

CONTROL_MODES = frozenset({"fixed", "increment", "increment-wrap", "decrement", "randomize"})
"""Values of the frontend's "control after generate" widget."""

_WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
_COMPANIONS = {
    "COLOR": 0,
    "CURVE": 0,
    "BOUNDING_BOX": 4,
    "BOUNDING_BOXES": 0,
    "COLORS": 0,
    "COMPOSITOR": 0,
    "PAINTER": 0,
}
"""Newer widgets, if no socket has their name, and how many entries follow theirs: a box has its numbers once more."""
_COMPANION_TYPES: Mapping[str, type] = {"COLOR": str, "PAINTER": str, "COLORS": list, "BOUNDING_BOXES": list}
"""What the values of those are that are not objects."""
_LINKED_TYPES = frozenset(
    {"IMAGE", "MASK", "VIDEO", "AUDIO", "LATENT", "MODEL", "CLIP", "VAE", "CONDITIONING", "MESH", "CLIP_VISION_OUTPUT"}
)
"""What is never a widget, also where the node was saved before it had the socket."""
_SEEDS = frozenset({"seed", "noise_seed"})
_CONTROL = "CONTROL"
_COMPANION = "COMPANION"
# The entries that the frontend appends for an upload: a button, and before it, for audio, a player.
_UPLOAD_EXTRAS = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """One position in ``widgets_values``: the input ``name``, or if ``None`` a companion of the one before it."""

    name: str | None
    kind: str
    spec: Any = None


@dataclass(frozen=True, slots=True)
class WidgetMap:
    """The positions of a node's proven inputs, as list indexes or object keys. ``reason`` says why some are missing.

    ``absent`` has the positions of those behind the end of the saved list, whose value is the default; ``defaults`` is
    the list that the node would have with all of them.
    """

    positions: Mapping[str, int | str]
    reason: str = ""
    absent: Mapping[str, int] = field(default_factory=dict)
    defaults: tuple[Any, ...] = ()


def locate(node: JsonObject, definition: Any) -> WidgetMap:
    """Find the inputs of a workflow's node in its ``widgets_values``.

    ``definition`` is the entry of ``/object_info`` for its class. Without one, only nodes that name all their widgets
    among their sockets, as newer frontends save them, are mapped.
    """
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return WidgetMap({name: name for name in values if isinstance(name, str)})
    if class_of(node) == "PrimitiveNode":
        return WidgetMap({"value": 0}) if isinstance(values, list) and values else WidgetMap({}, "it has no value yet")
    if values is None and definition is not None and not node.get("widgets_values_named"):
        values = []
    if not isinstance(values, list) or not (values or definition):
        return WidgetMap({}, "it has no saved widget values")
    saved = saved_widget_names(node)
    if definition is None:
        return _from_names(saved, values)
    slots, extras, opaque = widget_slots(node, definition, values)
    names = [slot.name for slot in slots if slot.name is not None]
    if not opaque and not _is_subsequence(saved, names):
        return WidgetMap({}, "it was saved with other widgets than its class has now")
    # A viewer of 3D files has the name of its picture at the end, which is empty in a file.
    known = len(values) - 1 if values[-1:] == [""] else len(values)
    # An extension adds its widgets behind those of the class, if the node has all of the class.
    if known > len(slots) + extras and not opaque and not (saved and saved == names):
        return WidgetMap({}, f"it has {len(values)} saved widget values, its class has {len(slots)} widgets")
    for slot, value in zip(slots, values, strict=False):
        if not _is_plausible(slot, value):
            what = f"input {slot.name!r}" if slot.name else "the control after generate"
            return WidgetMap({}, f"the saved value for {what} is not of its type, the widgets may have shifted")
    places = {slot.name: at for at, slot in enumerate(slots) if slot.name is not None}
    present = {name: at for name, at in places.items() if at < len(values)}
    absent = {name: at for name, at in places.items() if at >= len(values)}
    return WidgetMap(present, absent=absent, defaults=tuple(slot_default(slots, at) for at in range(len(slots))))


def slot_default(slots: Sequence[Slot], at: int) -> Any:
    """The value that a new node has at a position."""
    slot = slots[at]
    if slot.kind == _CONTROL:
        return "randomize"
    if slot.kind == _COMPANION:
        first = next(before for before in range(at, -1, -1) if slots[before].name is not None)
        box = default_value(slots[first].spec)
        return box.get(BOX[at - first - 1]) if isinstance(box, dict) else None
    if slot.name is None:
        return None
    return default_value(slot.spec)


def saved_widget_names(node: JsonObject) -> list[str]:
    """Return the names of the widgets that a node lists among its sockets, in order."""
    names = []
    for entry in sockets(node):
        widget = entry.get("widget")
        if isinstance(widget, dict) and isinstance(widget.get("name"), str):
            names.append(widget["name"])
    return names


def sockets(node: Mapping[str, Any]) -> list[JsonObject]:
    """Return the input sockets that a workflow's node was saved with."""
    inputs = node.get("inputs")
    return [entry for entry in inputs if isinstance(entry, dict)] if isinstance(inputs, list) else []


def widget_slots(node: Mapping[str, Any], definition: Any, values: Sequence[Any]) -> tuple[list[Slot], int, bool]:
    """Return the known slots, how many unnamed ones may follow, and whether an unknown widget ended the list early."""
    plain = {str(entry.get("name")) for entry in sockets(node) if not entry.get("widget")}
    slots: list[Slot] = []
    extras = 0
    waiting = list(input_specs(definition).items())[::-1]
    while waiting:
        name, spec = waiting.pop()
        kind, settings = widget_type(spec), spec_settings(spec)
        if any(str(key).endswith("_upload") and value for key, value in settings.items()):
            extras = _UPLOAD_EXTRAS
        if _is_socket(name, kind, spec, plain):
            continue
        if kind not in _WIDGET_TYPES and kind not in _COMPANIONS and kind != DYNAMIC_COMBO:
            # Neither a socket nor a known kind of widget: an extension decides how many entries it has.
            return slots, extras, True
        slots.append(Slot(name, kind, spec))
        slots.extend([Slot(None, _CONTROL)] * _controls(name, kind, settings))
        slots.extend([Slot(None, _COMPANION)] * _COMPANIONS.get(kind, 0))
        if settings.get("remote"):
            return slots, extras, True
        if kind == DYNAMIC_COMBO:
            brought = option_inputs(spec, values[len(slots) - 1] if len(slots) <= len(values) else default_value(spec))
            if brought is None:
                return slots, extras, True
            waiting += [(f"{name}.{inner}", each) for inner, each in brought.items()][::-1]
    return slots, extras, False


def _is_socket(name: str, kind: str, spec: Any, plain: Collection[str]) -> bool:
    if spec_settings(spec).get("forceInput") or kind in {"*", MATCH_TYPE} or set(kind.split(",")) <= _LINKED_TYPES:
        return True
    if kind == AUTOGROW:
        grown = grown_inputs(name, spec, plain)
        return any(each in plain or not _is_widget(about) for each, about in grown.items())
    return kind not in _WIDGET_TYPES and kind != DYNAMIC_COMBO and name in plain


def _is_widget(spec: Any) -> bool:
    kind = widget_type(spec)
    return (kind in _WIDGET_TYPES or kind in _COMPANIONS) and not spec_settings(spec).get("forceInput")


def _controls(name: str, kind: str, settings: Mapping[str, Any]) -> int:
    control = settings.get("control_after_generate")
    if kind == "INT":
        return int(bool(name in _SEEDS if control is None else control))
    return 2 if kind == "COMBO" and control else 0


def _from_names(names: Sequence[str], values: Sequence[Any]) -> WidgetMap:
    positions: dict[str, int | str] = {}
    at = 0
    for name in names:
        positions[name] = at
        at += 1
        if name in _SEEDS and len(values) > at and values[at] in CONTROL_MODES:
            at += 1
    if names and at == len(values) and len(positions) == len(names):
        return WidgetMap(positions)
    return WidgetMap({}, "without the node's definition its saved widget values cannot be told apart")


def _is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    remaining = iter(whole)
    return all(name in remaining for name in part)


def _is_plausible(slot: Slot, value: Any) -> bool:
    if slot.kind == _CONTROL:
        return value is None or isinstance(value, str)
    if slot.kind in {"INT", "FLOAT"}:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    if slot.kind == "BOOLEAN":
        return value is None or isinstance(value, bool)
    if slot.kind == "STRING":
        return value is None or isinstance(value, str)
    if slot.kind in _COMPANIONS:
        return value is None or isinstance(value, _COMPANION_TYPES.get(slot.kind, dict))
    if slot.kind == _COMPANION:
        return True
    return not isinstance(value, bool) or _has_boolean_choices(slot.spec)


def _has_boolean_choices(spec: Any) -> bool:
    choices = spec[0] if isinstance(spec[0], list) else spec_settings(spec).get("options")
    return isinstance(choices, list) and any(isinstance(choice, bool) for choice in choices)
