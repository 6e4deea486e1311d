"""Nodes that decide, choose, and collect values of any type."""

from __future__ import annotations

from typing import Any

from comfyui_emulator.nodes.base import MATCHTYPE, choice, growing, link, matching, node, switch
from comfyui_emulator.registry import ANY

_LOGIC: dict[str, Any] = {"module": "comfy_extras.nodes_logic", "category": "utilities/logic", "v3": True}
_VALUES = {"values": growing("value", link(ANY), prefix="value")}


@node("ComfyNotNode", {"value": link(ANY)}, "BOOLEAN", title="Not", **_LOGIC)
def negate(value: Any) -> bool:
    """Whether Python takes the value for false."""
    return not value


@node("ComfyAndNode", _VALUES, "BOOLEAN", title="And", **_LOGIC)
def every(values: dict[str, Any]) -> bool:
    """Whether all values are true."""
    return all(values.values())


@node("ComfyOrNode", _VALUES, "BOOLEAN", title="Or", **_LOGIC)
def some(values: dict[str, Any]) -> bool:
    """Whether any value is true."""
    return any(values.values())


def _wanted(switch: bool, on_false: Any = None, on_true: Any = None) -> list[str] | None:
    """The side that has to run first; ``None`` stands for an input that is not there yet."""
    name, value = ("on_true", on_true) if switch else ("on_false", on_false)
    return [name] if value is None else None


@node(
    "ComfySwitchNode",
    {
        "switch": switch(),
        "on_false": matching("switch", lazy=True),
        "on_true": matching("switch", lazy=True),
    },
    MATCHTYPE,
    names="output",
    title="If/Else Switch",
    EXPERIMENTAL=True,
    matchtypes=("switch",),
    check_lazy_status=_wanted,
    **_LOGIC,
)
def switch_between(switch: bool, on_false: Any = None, on_true: Any = None) -> tuple[Any]:
    """One of two values. The other side does not run."""
    return (on_true if switch else on_false,)


@node(
    "CustomCombo",
    {"choice": choice([])},
    "STRING INT",
    names="STRING INDEX",
    title="Custom Combo",
    EXPERIMENTAL=True,
    ACCEPT_ALL_INPUTS=True,
    VALIDATE_INPUTS=lambda choice, index=0, **_: True,
    **(_LOGIC | {"category": "utilities"}),
)
def combo(choice: Any, index: Any = 0, **_options: Any) -> tuple[Any, Any]:
    """The chosen text and its place. The frontend knows the options; none is checked."""
    return choice, index


@node(
    "CreateList",
    {"inputs": growing("input", matching("type"), prefix="input")},
    MATCHTYPE,
    names="list",
    lists=(True,),
    module="comfy_extras.nodes_toolkit",
    category="utilities",
    title="Create List",
    v3=True,
    INPUT_IS_LIST=True,
    matchtypes=("type",),
)
def create_list(inputs: dict[str, list[Any]]) -> tuple[list[Any]]:
    """All values that are connected, in the order of the inputs; the items of lists are taken one by one."""
    return ([item for values in inputs.values() for item in values],)


@node(
    "wanBlockSwap",
    {"model": link("MODEL")},
    "MODEL",
    module="comfy_extras.nodes_nop",
    category="",
    title=None,
    v3=True,
    DEPRECATED=True,
)
def block_swap(model: Any) -> tuple[Any]:
    """Return the model: ComfyUI puts this in the place of a node pack's."""
    return (model,)
