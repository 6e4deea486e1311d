"""Traps that are one prompt: some ComfyUI accepts it and dies, or answers 500, or runs something else."""

from __future__ import annotations

from typing import Any

from benchmarks.parity.bodies import node

GOOD = {"1": node("TrapAny", value=1)}
EMPTY = {"width": 16, "height": 16, "batch_size": 1, "color": 0}
UNREACHED: dict[str, Any] = {
    "without inputs": {"class_type": "EmptyImage"},
    "with inputs null": {"class_type": "EmptyImage", "inputs": None},
    "with inputs that are a list": {"class_type": "EmptyImage", "inputs": []},
    "with a link to a missing node": node("ImageInvert", image=["9", 0]),
    "that is a text": "EmptyImage",
}
HARM = {
    "a node raises SystemExit": "system_exit",
    "a node raises KeyboardInterrupt": "keyboard_interrupt",
    "a node expands to its own id": "own_id",
    "a cycle at run time": "cycle",
    "UI values without JSON, nobody connected": "no_json",
}


def wrapped_in_number() -> dict[str, Any]:
    """A link that hides from the check of links, in a number."""
    image = node("EmptyImage", **EMPTY | {"width": {"__value__": ["9", 0]}})
    return {"1": image, "2": node("PreviewImage", images=["1", 0])}


PROMPTS: dict[str, dict[str, Any]] = {
    "unknown input that links to a missing node": {"prompt": {"1": node("TrapAny", value=1, other=["9", 0])}},
    **{f"unreached node {name}": {"prompt": GOOD | {"2": value}} for name, value in UNREACHED.items()},
    **{f"extra_data is {name}": {"prompt": GOOD, "extra_data": value}
       for name, value in (("null", None), ("a number", 5), ("a list", []), ("a text", "x"))},
    "wrapped link to a missing node, in a number": {"prompt": wrapped_in_number()},
    "wrapped link to a missing node, in any type": {"prompt": {"1": node("TrapAny", value={"__value__": ["9", 0]})}},
    "client_id is a list": {"prompt": GOOD, "client_id": ["a"]},
    "client_id is an object": {"prompt": GOOD, "client_id": {"a": 1}},
    "client_id is a number": {"prompt": GOOD, "client_id": 5},
    "prompt is a list": {"prompt": []},
    "one output of two is wrong": {"prompt": GOOD | {"2": node("PreviewAny")}},
    "prompt_id is not a UUID": {"prompt": GOOD, "prompt_id": "mine"},
    "prompt_id is in upper case": {"prompt": GOOD, "prompt_id": "D41F0000-0000-4000-8000-00000000000A"},
    "a cycle in the prompt": {"prompt": {"1": node("TrapAny", value=["2", 0]), "2": node("TrapAny", value=["1", 0])}},
    "unknown class": {"prompt": GOOD | {"2": node("NoSuchNode")}},
    "unknown class with _meta null": {"prompt": GOOD | {"2": node("NoSuchNode") | {"_meta": None}}},
    "replaced class without _meta": {"prompt": GOOD | {"2": node("T2IAdapterLoader", t2i_adapter_name="x")}},
    "replaced class without an input that gets another name": {
        "prompt": GOOD | {"2": node("T2IAdapterLoader") | {"_meta": {"title": "Adapter"}}}},
    "unknown key of a dynamic combo": {"prompt": {
        "1": node("EmptyImage", **EMPTY), "3": node("PreviewImage", images=["2", 0]),
        "2": node("ResizeImageMaskNode", input=["1", 0], resize_type="no such key", scale_method="area")}},
    **{name: {"prompt": {"1": node("TrapHarm", kind=kind)}} for name, kind in HARM.items()},
}  # fmt: skip
"""Bodies of ``POST /prompt``, by what is wrong with them."""
