"""Small workflows with what came into the format and the node definitions after 0.3.64, each with one feature."""

from __future__ import annotations

from typing import Any

from browser.made_workflows import Json, all_made, empty_image, invert, node, save, workflow

HOST, INNER = "8f1a1c52-0000-4000-8000-000000000001", "8f1a1c52-0000-4000-8000-000000000002"
OF_A_PACK = {"pack", "hostile"}
"""Of the older small workflows, those that need a pack or are about something else."""


def link(number: int, origin: int, out: int, target: int, into: int, kind: str) -> Json:
    """A link inside a subgraph."""
    ends = {"origin_id": origin, "origin_slot": out, "target_id": target, "target_slot": into}
    return {"id": number, "type": kind} | ends


def subgraph(identity: str, nodes: list[Json], links: list[Json], inputs: Any = (), outputs: Any = ()) -> Json:
    """The definition of a subgraph; inputs and outputs are names, types and the numbers of their links."""
    slots = [
        [{"id": f"{side}-{name}", "name": name, "type": kind, "linkIds": list(numbers), "pos": [0, 0]}
         for name, kind, *numbers in given]
        for side, given in (("in", inputs), ("out", outputs))
    ]  # fmt: skip
    state = {"lastGroupId": 0, "lastNodeId": 20, "lastLinkId": 20, "lastRerouteId": 0}
    return {
        "id": identity, "version": 1, "state": state, "revision": 0, "config": {}, "name": f"Subgraph {identity[-1]}",
        "inputNode": {"id": -10, "bounding": [0, 0, 100, 60]}, "outputNode": {"id": -20, "bounding": [500, 0, 100, 60]},
        "inputs": slots[0], "outputs": slots[1], "widgets": [], "nodes": nodes, "groups": [], "links": links,
        "extra": {},
    }  # fmt: skip


def picture_host(values: list[Any], proxies: list[list[str]], **more: Any) -> Json:
    """A host whose subgraph makes a picture; some widgets inside are promoted."""
    inside = empty_image(3)
    inside["outputs"][0]["links"] = [1]
    made = subgraph(HOST, [inside], [link(1, 3, 0, -20, 0, "IMAGE")], outputs=[("IMAGE", "IMAGE", 1)])
    host = node(10, HOST, (), ("IMAGE",), values, properties={"proxyWidgets": proxies}) | more
    return workflow([host, save(11)], [(10, 0, 11, 0, "IMAGE")], definitions={"subgraphs": [made]})


def blueprint() -> Json:
    """A workflow that is one host, as blueprints are saved: an input, a promoted widget, no links outside."""
    inside = node(4, "ImageScaleBy", (("image", "IMAGE"),), ("IMAGE",), ("nearest-exact", 0.5))
    inside["inputs"][0]["link"], inside["outputs"][0]["links"] = 1, [2]
    links = [link(1, -10, 0, 4, 0, "IMAGE"), link(2, 4, 0, -20, 0, "IMAGE")]
    made = subgraph(HOST, [inside], links, [("image", "IMAGE", 1)], [("IMAGE", "IMAGE", 2)])
    host = node(1, HOST, (("image", "IMAGE"),), ("IMAGE",), (), properties={"proxyWidgets": [["4", "scale_by"]]})
    made |= {"category": "made", "description": "halves a picture"}
    return workflow([host | {"title": "Half"}], definitions={"subgraphs": [made]})


def nested() -> Json:
    """A promoted widget of a subgraph in a subgraph, and an input that is a widget inside."""
    inside = node(3, "EmptyImage", (("width", "INT", "width"),), ("IMAGE",), (64, 64, 1, 0))
    inside["inputs"][0]["link"], inside["outputs"][0]["links"] = 1, [2]
    links = [link(1, -10, 0, 3, 0, "INT"), link(2, 3, 0, -20, 0, "IMAGE")]
    deep = subgraph(INNER, [inside], links, [("width", "INT", 1)], [("IMAGE", "IMAGE", 2)])
    between = node(5, INNER, (("width", "INT", "width"),), ("IMAGE",), (96,),
                   properties={"proxyWidgets": [["-1", "width"], ["3", "height"]]})  # fmt: skip
    between["outputs"][0]["links"] = [1]
    outer = subgraph(HOST, [between], [link(1, 5, 0, -20, 0, "IMAGE")], outputs=[("IMAGE", "IMAGE", 1)])
    host = node(10, HOST, (), ("IMAGE",), (), properties={"proxyWidgets": [["5", "width"]]})
    return workflow([host, save(11)], [(10, 0, 11, 0, "IMAGE")], definitions={"subgraphs": [deep, outer]})


def dynamic_combos() -> Json:
    """Every number of widgets that a dynamic combo can have, one of them linked."""
    kinds: dict[str, tuple[Any, ...]] = {
        "scale dimensions": (128, 96, "disabled"),
        "scale by multiplier": (0.5,),
        "scale longer dimension": (77,),
        "scale total pixels": (0.25,),
        "match size": ("center",),
    }
    nodes = [empty_image(1)]
    links: list[tuple[Any, ...]] = []
    for number, (kind, values) in enumerate(kinds.items(), 2):
        inputs = [("input", "IMAGE"), *([("resize_type.match", "IMAGE,MASK")] if kind == "match size" else [])]
        nodes.append(node(number, "ResizeImageMaskNode", tuple(inputs), ("IMAGE",), (kind, *values, "area")))
        links += [(1, 0, number, slot, "IMAGE") for slot in range(len(inputs))]
    width = (("input", "IMAGE"), ("resize_type.width", "INT", "resize_type.width"))
    nodes += [node(20, "PrimitiveInt", (), ("INT",), (80, "fixed")),
              node(21, "ResizeImageMaskNode", width, ("IMAGE",), ("scale width", 512, "area")), save(22)]  # fmt: skip
    return workflow(nodes, [*links, (1, 0, 21, 0, "IMAGE"), (20, 0, 21, 1, "INT"), (21, 0, 22, 0, "IMAGE")])


def growing_inputs() -> Json:
    """Slots that grow: all used, and with a gap."""
    slots = tuple((f"images.image{index}", "IMAGE") for index in range(4))
    texts = (("f_string", "STRING", "f_string"), ("values.a", "*"), ("values.b", "*"))
    nodes = [empty_image(1), invert(2), node(3, "BatchImagesNode", slots, ("IMAGE",)), save(4),
             node(5, "BatchImagesNode", slots, ("IMAGE",)), save(6),
             node(7, "StringFormat", texts, ("STRING",), ("{a} and {b}",)),
             node(8, "PreviewAny", (("source", "*"),))]  # fmt: skip
    links = [(1, 0, 2, 0, "IMAGE"), (1, 0, 3, 0, "IMAGE"), (2, 0, 3, 1, "IMAGE"), (3, 0, 4, 0, "IMAGE")]
    links += [(1, 0, 5, 0, "IMAGE"), (2, 0, 5, 2, "IMAGE"), (5, 0, 6, 0, "IMAGE")]
    return workflow(nodes, [*links, (1, 0, 7, 1, "IMAGE"), (7, 0, 8, 0, "STRING")])


def matching_types() -> Json:
    """A switch between pictures and one between numbers, of one class whose types only have to match."""
    sides = (("on_false", "*"), ("on_true", "*"))
    nodes = [empty_image(1), invert(2), node(3, "ComfySwitchNode", sides, ("IMAGE",), (True,)), save(4),
             node(5, "PrimitiveInt", (), ("INT",), (64, "fixed")), node(6, "PrimitiveInt", (), ("INT",), (96, "fixed")),
             node(7, "ComfySwitchNode", sides, ("INT",), (False,)),
             node(8, "EmptyImage", (("width", "INT", "width"),), ("IMAGE",), (64, 64, 1, 0)), save(9)]  # fmt: skip
    links = [(1, 0, 2, 0, "IMAGE"), (1, 0, 3, 0, "IMAGE"), (2, 0, 3, 1, "IMAGE"), (3, 0, 4, 0, "IMAGE")]
    links += [(5, 0, 7, 0, "INT"), (6, 0, 7, 1, "INT"), (7, 0, 8, 0, "INT"), (8, 0, 9, 0, "IMAGE")]
    return workflow(nodes, links)


def named_values() -> Json:
    """Values by name beside the list: equal, different, and alone."""
    names = {"width": 32, "height": 48, "batch_size": 1, "color": 5}
    nodes = [empty_image(1) | {"widgets_values_named": {**names, "width": 64, "height": 64, "color": 0}},
             empty_image(2) | {"widgets_values_named": names},
             node(3, "EmptyImage", (), ("IMAGE",), "absent") | {"widgets_values_named": names}]  # fmt: skip
    return workflow(nodes)


def object_values() -> Json:
    """Widgets whose values are objects."""
    curve = {"points": [[0, 0], [0.5, 0.25], [1, 1]], "interpolation": "linear"}
    return workflow([node(1, "CurveEditor", (), ("CURVE",), (curve,)), node(2, "PreviewAny", (("source", "*"),))],
                    [(1, 0, 2, 0, "CURVE")])  # fmt: skip


def boxes_and_colours() -> Json:
    """A box, whose numbers are saved once more behind it, and a colour."""
    box = {"x": 8, "y": 16, "width": 32, "height": 24}
    nodes = [empty_image(1), node(2, "ImageCropV2", (("image", "IMAGE"),), ("IMAGE",), (box, *box.values())), save(3),
             node(4, "ColorToRGBInt", (), ("INT",), ("#336699",)),
             node(5, "PreviewAny", (("source", "*"),))]  # fmt: skip
    return workflow(nodes, [(1, 0, 2, 0, "IMAGE"), (2, 0, 3, 0, "IMAGE"), (4, 0, 5, 0, "INT")])


def app_mode() -> Json:
    """A file that opens as an app: inputs and outputs are chosen."""
    made = workflow([empty_image(1), save(2)], [(1, 0, 2, 0, "IMAGE")])
    made["extra"] = {"linearMode": True, "linearData": {"inputs": [[1, "width"], [1, "color"]], "outputs": [2]}}
    return made


def named_models() -> Json:
    """A loader that names its model's file, and models at the top, as workflows with downloads are saved."""
    name = "discomfort-test.safetensors"
    address = f"https://huggingface.co/discomfort/none/resolve/main/{name}"
    model = {"name": name, "url": address, "directory": "upscale_models"}
    loader = node(1, "UpscaleModelLoader", (), ("UPSCALE_MODEL",), (name,), properties={"models": [model]})
    upscaled = node(3, "ImageUpscaleWithModel", (("upscale_model", "UPSCALE_MODEL"), ("image", "IMAGE")), ("IMAGE",))
    links = [(1, 0, 3, 0, "UPSCALE_MODEL"), (2, 0, 3, 1, "IMAGE"), (3, 0, 4, 0, "IMAGE")]
    return workflow([loader, empty_image(2), upscaled, save(4)], links, models=[model])


def all_newer() -> dict[str, Json]:
    """Every small workflow, the older ones included."""
    older = {name: made for name, made in all_made().items() if name not in OF_A_PACK}
    return older | {
        "promoted": picture_host([55], [["3", "width"]]),
        "promoted_without_value": picture_host([], [["3", "width"], ["3", "height"]]),
        "promoted_and_gone": picture_host([55, 1], [["3", "width"], ["9", "gone"]]),
        "promoted_muted": picture_host([55], [["3", "width"]], mode=4),
        "blueprint": blueprint(),
        "nested": nested(),
        "dynamic_combos": dynamic_combos(),
        "growing_inputs": growing_inputs(),
        "matching_types": matching_types(),
        "named_values": named_values(),
        "object_values": object_values(),
        "boxes_and_colours": boxes_and_colours(),
        "app_mode": app_mode(),
        "named_models": named_models(),
    }
