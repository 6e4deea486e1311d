"""A class with a dynamic combo of every kind, and workflows with it, as the frontend saves them."""

from __future__ import annotations

from typing import Any

from browser.made_workflows import Json, empty_image, node, save, workflow
from browser.newer_workflows import HOST, link, subgraph


def combo(**options: Any) -> list[Any]:
    """The declaration of a dynamic combo, with the inputs that its values bring."""
    return ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": key, "inputs": each} for key, each in options.items()]}]


def growing(prefix: str, kind: str) -> list[Any]:
    """The declaration of a row of inputs."""
    template = {"input": {"required": {prefix: [kind, {}]}}, "prefix": prefix, "min": 1, "max": 4}
    return ["COMFY_AUTOGROW_V3", {"template": template}]


_SIZE = {"min": 1, "max": 100}
MODE = combo(
    own={"required": {"size": ["INT", {"default": 5, **_SIZE}], "picture": ["IMAGE", {}]}},
    other={
        "required": {
            "size": ["INT", {"default": 7, **_SIZE}],
            "picture": ["IMAGE", {}],
            "bare": ["INT", {"min": 3}],
            "share": ["FLOAT", {}],
            "text": ["STRING", {"multiline": True}],
            "flag": ["BOOLEAN", {}],
            "choice": ["COMBO", {"options": ["x", "y"]}],
        },
        "optional": {"extra": ["FLOAT", {"default": 0.5}], "mask": ["MASK", {}]},
    },
    deep={
        "required": {
            "inner": combo(
                p={"required": {"one": ["INT", {"default": 1}]}},
                q={"required": {"two": ["INT", {"default": 2}], "three": ["FLOAT", {"default": 3}]}},
            )
        }
    },
    bare={"required": {}},
    drawn={
        "required": {
            "colour": ["COLOR", {"default": "#112233"}],
            "box": ["BOUNDING_BOX", {"default": {"x": 0, "y": 1, "width": 4, "height": 5}}],
        }
    },
    seeded={"required": {"seed": ["INT", {"default": 0, "max": 1000, "control_after_generate": True}]}},
    row={"required": {"images": growing("image", "IMAGE")}},
)
INPUTS: Json = {
    "required": {
        "first": ["IMAGE", {}],
        "mode": MODE,
        "method": ["COMBO", {"options": ["area", "near"], "default": "near"}],
        "count": ["INT", {"default": 1}],
    },
    "optional": {"last": ["MASK", {}]},
}
BRANCHING: Json = {
    "Branching": {
        "input": INPUTS, "input_order": {section: list(each) for section, each in INPUTS.items()},
        "output": ["IMAGE"], "output_is_list": [False], "output_name": ["IMAGE"], "name": "Branching",
        "display_name": "Branching", "description": "", "python_module": "nodes", "category": "made",
        "output_node": True,
    }
}  # fmt: skip
_SOCKETS = (("first", "IMAGE"), ("last", "MASK"), ("mode", "COMFY_DYNAMICCOMBO_V3", "mode"))
_TAIL = (("method", "COMBO", "method"), ("count", "INT", "count"))


def branching(*values: Any, sockets: Any = (), links: Any = (), behind: Any = _TAIL) -> Json:
    """A node in the middle: its number is 3. Links are origin and socket."""
    made = node(3, "Branching", (*_SOCKETS, *sockets, *behind), ("IMAGE",), (*values, "area", 9))
    names = [each[0] for each in (*_SOCKETS, *sockets, *behind)]
    sources = [empty_image(1), node(2, "PrimitiveInt", (), ("INT",), (80, "fixed"))]
    ends = [(origin, 0, 3, names.index(name), "IMAGE" if origin == 1 else "INT") for origin, name in links]
    return workflow([*sources, made, save(4)], [(1, 0, 3, 0, "IMAGE"), *ends, (3, 0, 4, 0, "IMAGE")])


def own() -> Json:
    """With a picture that the present value brings."""
    sockets = (("mode.size", "INT", "mode.size"), ("mode.picture", "IMAGE"))
    return branching("own", 50, sockets=sockets, links=[(1, "mode.picture")])


def linked() -> Json:
    """With links into a widget that comes with the value, and into one behind it."""
    sockets = (("mode.size", "INT", "mode.size"), ("mode.picture", "IMAGE"))
    return branching("own", 50, sockets=sockets, links=[(2, "mode.size"), (1, "mode.picture"), (2, "count")])


def deep() -> Json:
    """With a dynamic combo inside of one."""
    sockets = (("mode.inner", "COMFY_DYNAMICCOMBO_V3", "mode.inner"), ("mode.inner.one", "INT", "mode.inner.one"))
    return branching("deep", "p", 4, sockets=sockets)


def bare() -> Json:
    """With a value that brings nothing."""
    return branching("bare")


def hosted(inputs: Any = (), proxies: Any = ()) -> Json:
    """Inside of a subgraph, whose node may show some of it."""
    sockets = (("mode.size", "INT", "mode.size"), ("mode.picture", "IMAGE"))
    inside = node(3, "Branching", (*_SOCKETS, *sockets, *_TAIL), ("IMAGE",), ("own", 50, "area", 9))
    names = [each[0] for each in (*_SOCKETS, *sockets, *_TAIL)]
    inside["inputs"][0]["link"] = inside["inputs"][4]["link"] = 1
    links = [link(1, 5, 0, 3, 0, "IMAGE"), link(2, 5, 0, 3, 4, "IMAGE"), link(3, 3, 0, -20, 0, "IMAGE")]
    inside["inputs"][4]["link"] = 2
    shown = []
    for number, (name, kind) in enumerate(inputs, 4):
        links.append(link(number, -10, len(shown), 3, names.index(name), kind))
        inside["inputs"][names.index(name)]["link"] = number
        shown.append((name, kind, number))
    source = empty_image(5)
    source["outputs"][0]["links"], inside["outputs"][0]["links"] = [1, 2], [3]
    made = subgraph(HOST, [source, inside], links, shown, [("IMAGE", "IMAGE", 3)])
    host = node(10, HOST, tuple((name, kind, name) for name, kind in inputs), ("IMAGE",), (),
                properties={"proxyWidgets": [list(each) for each in proxies]}) | {"title": "Host"}  # fmt: skip
    return workflow([host, save(11)], [(10, 0, 11, 0, "IMAGE")], definitions={"subgraphs": [made]})
