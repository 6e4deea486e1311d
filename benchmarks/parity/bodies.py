"""Prompts that are wrong in one way or another, and what both servers answer to them.

Left out is what ends ComfyUI's execution thread or its process: the emulator answers those with an error, on purpose.
And what Python or torch says of a wrong value deep inside of a node, which hangs on how the node is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.parity.comparing import Row
from benchmarks.parity.sequences import first_difference
from benchmarks.parity.servers import Server
from benchmarks.parity.watching import frames

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ARRAY = re.compile(r"(tensor\()?\[\[")
_FOLDER = re.compile(r"/[^' ]*/input/?(?=')")
TYPED = {"number": 1, "fraction": 0.5, "yes": True, "text": "t", "choice": "one"}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": class_type, "inputs": inputs}


def shown(value: Any) -> dict[str, Any]:
    """An output."""
    return node("ParityShow", value=value)


def bodies() -> Iterator[tuple[str, Any]]:
    """Groups and bodies of ``POST /prompt``; bytes are sent as they are."""
    yield from (("body", body) for body in wrong_bodies())
    yield from (("graph", {"prompt": graph}) for graph in wrong_graphs())
    yield from (("link", {"prompt": graph}) for graph in wrong_links())
    yield from (("constant", {"prompt": graph}) for graph in wrong_constants())
    yield from (("validator", {"prompt": graph}) for graph in refused())
    yield from (("core node", {"prompt": graph}) for graph in wrong_core_nodes())


def wrong_bodies() -> Iterator[Any]:
    """Bodies that are not prompts."""
    good = {"1": shown(800)}
    yield from (b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff", b"{}")
    for prompt in (None, [], "x", 5, {}, [1], {"1": "x"}, {"1": None}, {"1": 5}, {"1": []}, {"1": {}}):
        yield {"prompt": prompt}
    for number in ("x", None, [], "3", True, -1e300):
        yield {"prompt": good, "number": number}
    for targets in (5, "1", ["1"], ["2"], [], None, [None], {"1": 0}):
        yield {"prompt": good, "partial_execution_targets": targets}
    yield {"prompt": good, "front": True}
    yield {"prompt": good, "front": "x", "extra_data": {}}
    yield {"prompt": good, "client_id": None}
    yield {"prompt": good, "client_id": 5}


def wrong_graphs() -> Iterator[Any]:
    """Nodes that are not there, or not whole."""
    yield {"1": node("NoSuchNode")}
    yield {"1": shown(801), "2": node("NoSuchNode")}
    yield {"1": shown(801), "2": {"inputs": {}}}
    yield {"1": {"class_type": None, "inputs": {}}}
    yield {"1": {"class_type": 5, "inputs": {}}}
    yield {"1": {"class_type": "", "inputs": {}}}
    yield {"1": node("ParityNumber", value=1)}
    yield {"1": {"class_type": "ParityShow"}}
    for inputs in (None, [], "x", 5):
        yield {"1": {"class_type": "ParityShow", "inputs": inputs}}
    yield {"1": shown(["2", 0]), "2": {"class_type": "ParityNumber"}}
    yield {"1": shown(["2", 0]), "2": {"class_type": "ParityNumber", "inputs": None}}
    yield {"": shown(802)}
    yield {"ö ß/'\"": shown(803), "2": shown(["ö ß/'\"", 0])}
    yield {"1": shown(["2", 0]), "2": node("ParityAdd", a=["1", 0], b=1)}
    yield {"1": shown(["1", 0])}
    yield {"1": shown(["2", 0]), "2": node("ParityNumber", value=["2", 0])}
    yield {"1": shown(["2", 0]), "2": node("ParityNumber", value=["3", 0]), "3": node("ParityNumber", value=["2", 0])}


def wrong_links() -> Iterator[Any]:
    """Links to nowhere, and of the wrong type."""
    for link in (["9", 0], ["2", 1], ["2", -1], ["2", -2], ["2", "0"], ["2", 0.0], ["2", 0.5], ["2", None], [2, 0]):
        yield {"1": shown(link), "2": node("ParityNumber", value=804)}
    for link in (["2"], ["2", 0, 0], [], [[], 0], [None, 0], [["2", 0], 0], ["2", True], ["2", [0]], [{}, 0]):
        yield {"1": shown(link), "2": node("ParityNumber", value=805)}
    for name in ("number", "fraction", "yes", "text", "choice", "long", "any"):
        yield {"1": node("ParityTyped", **TYPED | {name: ["2", 0]}), "2": node("ParityNumber", value=806)}
        yield {"1": node("ParityTyped", **TYPED | {name: ["2", 1]}), "2": node("ParityTyped", **TYPED)}
    yield {"1": shown(["2", 0]), "2": node("ParityAdd", a=["3", 0], b=["4", 0]), "3": node("ParityNumber", value=2000)}
    yield {
        "1": shown(["2", 0]),
        "2": node("ParityAdd", a=["3", 0], b=["3", 0]),
        "3": node("ParityAdd", a=["4", 0], b="x"),
        "4": node("ParityNumber"),
    }
    yield {"1": shown(["2", 0]), "2": node("ParityAdd", a=["9", 0], b=1)}
    yield {"1": shown(["2", 0]), "2": node("ParityAdd", a=["3", 5], b=1), "3": node("ParityNumber", value=1)}
    yield {"1": node("PreviewImage", images=["2", 0]), "2": node("SolidMask", value=1.0, width=8, height=8)}


def wrong_constants() -> Iterator[Any]:
    """Constants of every wrong kind, for every kind of input."""
    values: tuple[Any, ...] = (
        None, True, False, 0, 11, -1, 10.5, 1e400, -0.0, "", "5", "x", "1e3", " 7 ", "true", {}, {"a": 1},
        {"__value__": 3}, {"__value__": [1, 2]}, {"__value__": "x"}, 2**70, "NaN", "one", "One",
    )  # fmt: skip
    for name in ("number", "fraction", "yes", "text", "choice", "long", "any"):
        for value in values:
            yield {"1": node("ParityTyped", **TYPED | {name: value})}
        yield {"1": node("ParityTyped", **{key: value for key, value in TYPED.items() if key != name})}
    yield {"1": node("ParityTyped")}
    yield {"1": node("ParityTyped", **TYPED, unknown=5)}
    yield {"1": node("ParityTyped", number=99, fraction=7, yes="x", text=None, choice="four", long="none")}


def refused() -> Iterator[Any]:
    """What a class's own validator says."""
    for value in (1, 2, 3, 13, 5000, "x", None, ["2", 0]):
        yield {"1": shown(["3", 0]), "2": node("ParityNumber", value=1), "3": node("ParityPicky", value=value, other=1)}
        yield {"1": shown(["3", 0]), "2": node("ParityNumber", value=1), "3": node("ParityPicky", value=1, other=value)}
    for kind in ("x", "bad", "z", 5, None):
        yield {"1": shown(["2", 0]), "2": node("ParityAnyway", value=5000, kind=kind)}
    yield {"1": node("ParityShow", value=["2", 0]), "2": node("ParityPicky", other=1)}
    yield {"1": node("LoadImage", image="nope.png"), "2": node("PreviewImage", images=["1", 0])}
    for image in ("../x.png", "p_smooth.png [output]", "", None, 5, "sub/nope.png [input]"):
        yield {"1": node("LoadImage", image=image), "2": node("PreviewImage", images=["1", 0])}
        yield {"1": node("LoadImageMask", image=image, channel="red"), "2": node("MaskPreview", mask=["1", 0])}


def wrong_core_nodes() -> Iterator[Any]:
    """Nodes of ComfyUI itself, of the older and of the newer schema."""
    empty = {"width": 16, "height": 8, "batch_size": 1, "color": 0}
    for change in (
        {"width": 0},
        {"width": 20000},
        {"batch_size": 5000},
        {"color": -1},
        {"height": "x"},
        {"color": 1.9},
    ):
        yield {"1": node("EmptyImage", **empty | change), "2": node("PreviewImage", images=["1", 0])}
    image = {"1": node("EmptyImage", **empty)}
    scale = {"image": ["1", 0], "upscale_method": "area", "width": 4, "height": 4, "crop": "disabled"}
    for change in (
        {"upscale_method": "foo"},
        {"crop": 5},
        {"width": -1},
        {"width": None},
        {"height": [1, 2]},
    ):
        yield image | {"2": node("ImageScale", **scale | change), "3": node("PreviewImage", images=["2", 0])}
    blend = {"image1": ["1", 0], "image2": ["1", 0], "blend_factor": 0.5, "blend_mode": "normal"}
    for change in ({"blend_mode": "zzz"}, {"blend_factor": 2}, {"image2": ["1", 1]}, {"image1": ["9", 0]}):
        yield image | {"2": node("ImageBlend", **blend | change), "3": node("PreviewImage", images=["2", 0])}
    for node_type, inputs in (
        ("CaseConverter", {"string": "aB", "mode": "sideways"}),
        ("CaseConverter", {"string": ["1", 0], "mode": "UPPERCASE"}),
        ("StringLength", {}),
        ("PrimitiveInt", {"value": 2**63}),
        ("PrimitiveInt", {"value": "x"}),
        ("PrimitiveFloat", {"value": None}),
        ("RegexReplace", {"string": "a", "regex_pattern": "(", "replace": ""}),
        ("ImageStitch", {"image1": ["1", 0], "direction": "up", "match_image_size": True, "spacing_width": 3}),
        ("ImageFlip", {"image": ["1", 0], "flip_method": "z"}),
        ("ImageRotate", {"image": ["1", 0], "rotation": "45 degrees"}),
    ):
        yield image | {"2": node(node_type, **inputs), "3": node("PreviewAny", source=["2", 0])}
    yield {"1": node("SaveImage", images=["2", 0]), "2": node("EmptyImage", **empty)}


def plain(value: Any, key: str = "") -> Any:
    """An answer or a record without what differs between any two runs."""
    if isinstance(value, dict):
        return {name: plain(item, name) for name, item in value.items()}
    if key == "traceback":
        return frames(value)
    if key in ("timestamp", "create_time", "number"):
        return key
    if isinstance(value, list):
        items = [plain(item) for item in value]
        if key == "prompt" and len(items) == 5:
            items[0], items[4] = "number", sorted(items[4])
        unordered = key in ("errors", "dependent_outputs", "executed", "current_outputs", "nodes")
        return sorted(items, key=json.dumps) if unordered else items
    if isinstance(value, str):
        if _ARRAY.match(value):
            return "array"
        value = _FOLDER.sub("input", _UUID.sub("id", re.sub(r"ComfyUI_temp_[a-z]{5}_", "ComfyUI_temp_", value)))
        return "\n".join(sorted(value.split("\n"))) if key == "details" else value
    return value


def answer(server: Server, body: Any) -> Any:
    """What a server answers, and where it accepts the prompt, the record of its run; in a comparable form."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, text = server.send("/prompt", data)
    if status == 500:
        return [status]
    content = json.loads(text)
    if status != 200:
        return [status, plain(content)]
    record = server.record(content["prompt_id"])
    return [status, plain(content), plain(record)]


def compare(ours: Server, theirs: Server) -> dict[str, Row]:
    """All bodies on both servers; a row for each group."""
    rows: dict[str, Row] = {}
    for group, body in bodies():
        row = rows.setdefault(group, Row())
        note = first_difference(answer(ours, body), answer(theirs, body))
        if note is None:
            row.add(0)
        else:
            row.differs(f"{body!r}"[:300] + f"\n    {note}")
    return rows
