"""Small workflows, each with one feature of the format, and the definitions of a node pack that some of them use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Json = dict[str, Any]

PACKS = Path(__file__).parent / "custom_nodes"
"""The folder of the node pack, as a server has it."""

PACK_SCRIPT = PACKS / "test_pack" / "web" / "pack.js"

PACK_NODES: Json = {
    name: {
        "input": inputs,
        "input_order": {kind: list(fields) for kind, fields in inputs.items()},
        "output": ["IMAGE"],
        "output_is_list": [False],
        "output_name": ["IMAGE"],
        "name": name,
        "display_name": f"The {name}",
        "description": "",
        "python_module": "custom_nodes.test_pack",
        "category": "pack",
        "output_node": True,
    }
    for name, inputs in {
        "PackSerialized": {"required": {"text": ["STRING", {"default": "a"}], "count": ["INT", {"default": 3}]}},
        "PackGrowing": {"required": {}, "optional": {"item_1": ["IMAGE"]}},
        "PackFaulty": {"required": {"text": ["STRING", {"default": "fine"}]}},
    }.items()
}


def node(
    node_id: int | str,
    kind: str,
    inputs: tuple[tuple[str, ...], ...] = (),
    outputs: tuple[str, ...] = (),
    values: Any = (),
    **more: Any,
) -> Json:
    """A node; an input is ``(name, type)``, or ``(name, type, widget)`` for a widget turned into an input."""
    made: Json = {"id": node_id, "type": kind, "pos": [0, 0], "size": [200, 100], "flags": {}, "order": 0, "mode": 0}
    made["inputs"] = [
        {"name": i[0], "type": i[1], "link": None} | ({"widget": {"name": i[2]}} if len(i) > 2 else {}) for i in inputs
    ]
    made["outputs"] = [{"name": kind_of, "type": kind_of, "links": []} for kind_of in outputs]
    made["properties"] = {}
    if values != "absent":
        made["widgets_values"] = list(values) if isinstance(values, tuple) else values
    return made | more


def workflow(nodes: list[Json], links: list[tuple[Any, ...]] = (), **more: Any) -> Json:  # type: ignore[assignment]
    """A workflow of version 0.4; a link is ``(from, slot, to, slot, type)``."""
    table: list[list[Any]] = []
    for number, (origin, out, target, into, kind) in enumerate(links, 1):
        table.append([number, origin, out, target, into, kind])
        for each in nodes:
            if each["id"] == origin:
                each["outputs"][out]["links"].append(number)
            if each["id"] == target:
                each["inputs"][into]["link"] = number
    numbers = [n["id"] for n in nodes if isinstance(n["id"], int)]
    made = {"last_node_id": max(numbers, default=0), "last_link_id": len(table), "nodes": nodes, "links": table}
    return made | {"groups": [], "config": {}, "extra": {}, "version": 0.4} | more


def empty_image(node_id: int | str, **more: Any) -> Json:
    """A source."""
    return node(node_id, "EmptyImage", (), ("IMAGE",), (64, 64, 1, 0), **more)


def invert(node_id: int | str, **more: Any) -> Json:
    """A node in the middle."""
    return node(node_id, "ImageInvert", (("image", "IMAGE"),), ("IMAGE",), **more)


def save(node_id: int | str, **more: Any) -> Json:
    """A sink."""
    return node(node_id, "SaveImage", (("images", "IMAGE"),), (), ("made",), **more)


def reroute(node_id: int | str) -> Json:
    """A reroute of the old kind, a node."""
    return node(node_id, "Reroute", (("", "*"),), ("IMAGE",))


def _reroutes() -> Json:
    nodes = [empty_image(1), reroute(2), reroute(3), invert(4), save(5), save(6)]
    links = [(1, 0, 2, 0, "IMAGE"), (2, 0, 3, 0, "IMAGE"), (3, 0, 4, 0, "IMAGE"), (4, 0, 5, 0, "IMAGE")]
    return workflow(nodes, [*links, (3, 0, 6, 0, "IMAGE")])


def _primitives() -> Json:
    size = (("width", "INT", "width"), ("height", "INT", "height"))
    nodes = [
        node(1, "PrimitiveNode", (), ("INT",), (96, "fixed")),
        node(2, "EmptyImage", size, ("IMAGE",), (64, 64, 1, 0)),
        node(3, "EmptyImage", size, ("IMAGE",), (32, 32, 1, 0)),
        save(4),
        save(5),
        node(6, "PrimitiveNode", (), ("INT",), (48, "fixed")),
        node(7, "Reroute", (("", "*"),), ("INT",)),
    ]
    links = [(1, 0, 2, 0, "INT"), (1, 0, 3, 0, "INT"), (6, 0, 7, 0, "INT"), (7, 0, 3, 1, "INT")]
    return workflow(nodes, [*links, (2, 0, 4, 0, "IMAGE"), (3, 0, 5, 0, "IMAGE")])


def _modes() -> Json:
    nodes = [empty_image(1), invert(2, mode=4), invert(3, mode=2), save(4), save(5), save(6, mode=2), save(7, mode=4)]
    links = [(1, 0, 2, 0, "IMAGE"), (2, 0, 4, 0, "IMAGE"), (1, 0, 3, 0, "IMAGE"), (3, 0, 5, 0, "IMAGE")]
    return workflow(nodes, [*links, (1, 0, 6, 0, "IMAGE"), (1, 0, 7, 0, "IMAGE")])


def _converted_widgets() -> Json:
    size = (("width", "INT", "width"), ("color", "INT", "color"))
    nodes = [
        node(1, "PrimitiveInt", (), ("INT",), (80, "fixed")),
        node(2, "EmptyImage", size, ("IMAGE",), (64, 64, 1, 7)),
        save(3, title="A title of my own"),
    ]
    return workflow(nodes, [(1, 0, 2, 0, "INT"), (2, 0, 3, 0, "IMAGE")])


def _group_node() -> Json:
    inner = [empty_image(-1), invert(-1)]
    for index, each in enumerate(inner):
        del each["id"]
        each["index"] = index
    group = {"nodes": inner, "links": [[0, 0, 1, 0, 1, "IMAGE"]], "external": [[1, 0, "IMAGE"]]}
    nodes = [node(1, "workflow>Pair", (), ("IMAGE",), (128, 96, 2, 5)), save(2)]
    return workflow(nodes, [(1, 0, 2, 0, "IMAGE")], extra={"groupNodes": {"Pair": group}})


def _subgraph(uuid: str, name: str, nodes: list[Json], links: list[Json], **slots: list[Json]) -> Json:
    ports: Json = {
        "inputNode": {"id": -10, "bounding": [0, 0, 100, 60]},
        "outputNode": {"id": -20, "bounding": [500, 0, 100, 60]},
        "inputs": [],
        "outputs": [],
    }
    state = {"lastGroupId": 0, "lastNodeId": 20, "lastLinkId": 20, "lastRerouteId": 0}
    made = {"id": uuid, "version": 1, "state": state, "revision": 0, "config": {}, "name": name} | ports | slots
    return made | {"widgets": [], "nodes": nodes, "groups": [], "links": links, "extra": {}}


def _link(number: int, origin: int, out: int, target: int, into: int, kind: str) -> Json:
    ends = {"origin_id": origin, "origin_slot": out, "target_id": target, "target_slot": into}
    return {"id": number, "type": kind} | ends


INNER = "7e1a1c52-0000-4000-8000-000000000001"
OUTER = "7e1a1c52-0000-4000-8000-000000000002"


def subgraphs(width: int = 72, inner: str = "ImageInvert") -> Json:
    """Two nested subgraphs with a promoted widget; both ids stay when the content changes."""
    image_in = {"id": "in-1", "name": "image", "type": "IMAGE", "linkIds": [1], "pos": [0, 0]}
    image_out = {"id": "out-1", "name": "IMAGE", "type": "IMAGE", "linkIds": [2], "pos": [0, 0]}
    middle = invert(1, type=inner)
    middle["inputs"][0]["link"], middle["outputs"][0]["links"] = 1, [2]
    deep_links = [_link(1, -10, 0, 1, 0, "IMAGE"), _link(2, 1, 0, -20, 0, "IMAGE")]
    deep = _subgraph(INNER, "Deep", [middle], deep_links, inputs=[image_in], outputs=[image_out])
    source = empty_image(3)
    source["widgets_values"][0] = width
    source["outputs"][0]["links"] = [1]
    nested = node(4, INNER, (("image", "IMAGE"),), ("IMAGE",))
    nested["inputs"][0]["link"], nested["outputs"][0]["links"] = 1, [2]
    outer_links = [_link(1, 3, 0, 4, 0, "IMAGE"), _link(2, 4, 0, -20, 0, "IMAGE")]
    outer = _subgraph(OUTER, "Outer", [source, nested], outer_links, outputs=[image_out])
    host = node(10, OUTER, (), ("IMAGE",), (), properties={"proxyWidgets": [["3", "width"], ["3", "height"]]})
    nodes = [host, save(11), node(12, OUTER, (), ("IMAGE",), (), mode=2), save(13)]
    links = [(10, 0, 11, 0, "IMAGE"), (12, 0, 13, 0, "IMAGE")]
    return workflow(nodes, links, definitions={"subgraphs": [deep, outer]}, id="7e1a1c52-0000-4000-8000-00000000000a")


def _schema_one() -> Json:
    made = workflow([empty_image(1), save(2)], [(1, 0, 2, 0, "IMAGE")])
    made["version"] = 1
    made["state"] = {"lastGroupId": 0, "lastNodeId": 2, "lastLinkId": 1, "lastRerouteId": 0}
    made["links"] = [_link(1, 1, 0, 2, 0, "IMAGE")]
    return made


def _widget_values() -> Json:
    nodes = [
        node(1, "EmptyImage", (), ("IMAGE",), "absent"),
        node(2, "EmptyImage", (), ("IMAGE",), None),
        node(3, "EmptyImage", (), ("IMAGE",), (None, 16)),
        node(4, "EmptyImage", (), ("IMAGE",), (1, 2, 3, 4, 5, 6, 7)),
        node(5, "ImageScale", (("image", "IMAGE"),), ("IMAGE",), ("gone-method", 0.5, "12", "nowhere")),
        node(6, "KSampler", (), ("LATENT",), (2**63 + 1, "randomize", 20, 8.0, "euler", "normal", 1)),
    ]
    return workflow(nodes)


def _optional_inputs() -> Json:
    composite = (("destination", "IMAGE"), ("source", "IMAGE"), ("mask", "MASK"))
    nodes = [empty_image(1), node(2, "ImageCompositeMasked", composite, ("IMAGE",), (0, 0, False)), save(3)]
    return workflow(nodes, [(1, 0, 2, 0, "IMAGE"), (1, 0, 2, 1, "IMAGE"), (2, 0, 3, 0, "IMAGE")])


def _pack() -> Json:
    grown = (("item_1", "IMAGE"), ("item_2", "IMAGE"))
    nodes = [
        empty_image(1),
        node(2, "PackSerialized", (), ("IMAGE",), ("hello", 5)),
        node(3, "PackGrowing", grown, ("IMAGE",)),
        node(4, "PackVirtual", (("in", "*"),), ("*",)),
        node(5, "PackFaulty", (), ("IMAGE",), ("quiet",)),
        save(6),
    ]
    links = [(1, 0, 3, 0, "IMAGE"), (2, 0, 3, 1, "IMAGE"), (3, 0, 4, 0, "IMAGE"), (4, 0, 6, 0, "IMAGE")]
    return workflow(nodes, links)


def faulty(title: str, **properties: Any) -> Json:
    """A workflow whose only node of interest is the pack's faulty one; ``title`` chooses the fault."""
    return workflow([node(1, "PackFaulty", (), ("IMAGE",), ("x",), title=title, properties=properties)])


def hostile() -> Json:
    """Markup and prototypes where text is expected."""
    script = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
    nodes = [empty_image(1, title=script), save(2, title="__proto__")]
    made = workflow(nodes, [(1, 0, 2, 0, "IMAGE")])
    made["nodes"][0]["properties"] = {"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}
    made["extra"] = {"__proto__": {"polluted": 1}, "groupNodes": {}}
    return made | {"__proto__": {"polluted": 1}}


def all_made() -> dict[str, Json]:
    """Every workflow whose prompt is the same each time, by name."""
    string_ids = workflow([empty_image("1"), save("two")], [("1", 0, "two", 0, "IMAGE")])
    notes = workflow([node(1, "Note", values=("hi",)), node(2, "MarkdownNote", values=("# hi",)), empty_image(3)])
    return {
        "reroutes": _reroutes(),
        "primitives": _primitives(),
        "modes": _modes(),
        "converted_widgets": _converted_widgets(),
        "group_node": _group_node(),
        "subgraphs": subgraphs(),
        "subgraphs_changed": subgraphs(200, "ImageScaleBy"),
        "schema_one": _schema_one(),
        "widget_values": _widget_values(),
        "optional_inputs": _optional_inputs(),
        "string_ids": string_ids,
        "notes": notes,
        "empty": workflow([]),
        "pack": _pack(),
        "hostile": hostile(),
    }
