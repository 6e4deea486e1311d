"""Prompts that nobody thought of: graphs by Hypothesis, valid and invalid, of nodes that both servers have.

Both must answer alike: the same refusal, or the same messages and the same record.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import aiohttp
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.parity.building import Graph
from benchmarks.parity.comparing import Row
from benchmarks.parity.ordering import SetOrder
from benchmarks.parity.sequences import first_difference, play
from benchmarks.parity.watching import Stage

Spec = dict[str, tuple[str, st.SearchStrategy[Any]]]
_SMALL = st.integers(-3, 9)
_WORDS = st.sampled_from(["", "a", "Hello World", "é", "7", "3.5", "x\ny"])
_SIZE = st.integers(1, 12)
_METHOD = st.sampled_from(["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
_FLAG = st.booleans()

NODES: dict[str, tuple[tuple[str, ...], Spec]] = {
    "ParityNumber": (("INT",), {"value": ("INT", _SMALL)}),
    "ParityAdd": (("INT",), {"a": ("INT", _SMALL), "b": ("INT", _SMALL)}),
    "ParityShow": (("INT",), {"value": ("INT", _SMALL)}),
    "ParityRange": (("INT",), {"start": ("INT", _SMALL), "count": ("INT", st.integers(0, 3))}),
    "ParitySum": (("INT",), {"a": ("INT", _SMALL), "b": ("INT", _SMALL)}),
    "ParityBlock": (("INT",), {"value": ("INT", _SMALL), "block": ("BOOLEAN", _FLAG), "message": ("STRING", _WORDS)}),
    "ParityLazy": (
        ("INT",),
        {"a": ("INT", _SMALL), "b": ("INT", _SMALL), "which": ("", st.sampled_from(["a", "b", "both", "none"]))},
    ),
    "ParityExpand": (
        ("INT",),
        {
            "value": ("INT", _SMALL),
            "depth": ("INT", st.integers(0, 2)),
            "inside": ("", st.sampled_from(["add", "show", "fail", "constant", "none"])),
        },
    ),
    "ParityToken": (("INT",), {"value": ("INT", _SMALL), "token": ("STRING", st.sampled_from(["", "nan", "raise"]))}),
    "ParityPicky": (("INT",), {"value": ("INT", _SMALL), "other": ("INT", _SMALL)}),
    "ParityFail": (
        ("INT",),
        {
            "value": ("INT", _SMALL),
            "kind": ("", st.sampled_from(["ValueError", "KeyError"])),
            "message": ("STRING", _WORDS),
        },
    ),
    "ParityTyped": (
        ("STRING", "FLOAT"),
        {
            "number": ("INT", st.integers(0, 11)),
            "fraction": ("FLOAT", st.sampled_from([0, 0.5, 1.0])),
            "yes": ("BOOLEAN", _FLAG),
            "text": ("STRING", _WORDS),
            "choice": ("", st.sampled_from(["one", "two", "four"])),
        },
    ),
    "PrimitiveInt": (("INT",), {"value": ("INT", _SMALL)}),
    "StringConcatenate": (
        ("STRING",),
        {"string_a": ("STRING", _WORDS), "string_b": ("STRING", _WORDS), "delimiter": ("STRING", _WORDS)},
    ),
    "StringLength": (("INT",), {"string": ("STRING", _WORDS)}),
    "PreviewAny": ((), {"source": ("*", _WORDS)}),
    "StringFormat": (
        ("STRING",),
        {"values.a": ("*", _WORDS), "f_string": ("STRING", st.sampled_from(["{a}", "{a}-{a!r}", "x", "{b}"]))},
    ),
    "ComfySwitchNode": (
        ("INT",),
        {"switch": ("BOOLEAN", _FLAG), "on_false": ("INT", _SMALL), "on_true": ("INT", _SMALL)},
    ),
    "ComfyNotNode": (("BOOLEAN",), {"value": ("*", _SMALL)}),
    "ComfyOrNode": (("BOOLEAN",), {"values.value0": ("*", _SMALL), "values.value1": ("*", _WORDS)}),
    "ComfyMathExpression": (
        ("FLOAT", "INT", "BOOLEAN"),
        {
            "expression": ("STRING", st.sampled_from(["a + b", "a / b", "max(values)", "a > b", "c", "'x'"])),
            "values.a": ("INT", _SMALL),
            "values.b": ("FLOAT", st.sampled_from([0, 0.5, -2.0])),
        },
    ),
    "ComfyNumberConvert": (("FLOAT", "INT"), {"value": ("STRING", _WORDS)}),
    "CreateList": (("INT",), {"inputs.input0": ("INT", _SMALL), "inputs.input1": ("INT", _SMALL)}),
    "CustomCombo": (("STRING", "INT"), {"choice": ("STRING", _WORDS), "index": ("INT", _SMALL)}),
    "EmptyImage": (
        ("IMAGE",),
        {
            "width": ("INT", _SIZE),
            "height": ("INT", _SIZE),
            "batch_size": ("INT", st.integers(0, 3)),
            "color": ("INT", st.integers(0, 0xFFFFFF)),
        },
    ),
    "ImageInvert": (("IMAGE",), {"image": ("IMAGE", st.none())}),
    "ImageBatch": (("IMAGE",), {"image1": ("IMAGE", st.none()), "image2": ("IMAGE", st.none())}),
    "ImageScale": (
        ("IMAGE",),
        {
            "image": ("IMAGE", st.none()),
            "upscale_method": ("", _METHOD),
            "width": ("INT", _SIZE),
            "height": ("INT", _SIZE),
            "crop": ("", st.sampled_from(["disabled", "center"])),
        },
    ),
    "ImageFromBatch": (
        ("IMAGE",),
        {
            "image": ("IMAGE", st.none()),
            "batch_index": ("INT", st.integers(0, 4)),
            "length": ("INT", st.integers(1, 3)),
        },
    ),
    "RebatchImages": (("IMAGE",), {"images": ("IMAGE", st.none()), "batch_size": ("INT", st.integers(1, 3))}),
    "GetImageSize": (("INT", "INT", "INT"), {"image": ("IMAGE", st.none())}),
    "PreviewImage": ((), {"images": ("IMAGE", st.none())}),
    "SolidMask": (
        ("MASK",),
        {"value": ("FLOAT", st.sampled_from([0.0, 0.5, 1])), "width": ("INT", _SIZE), "height": ("INT", _SIZE)},
    ),
    "MaskToImage": (("IMAGE",), {"mask": ("MASK", st.none())}),
    "ImageToMask": (
        ("MASK",),
        {"image": ("IMAGE", st.none()), "channel": ("", st.sampled_from(["red", "green", "blue"]))},
    ),
    "InvertMask": (("MASK",), {"mask": ("MASK", st.none())}),
}
"""Class → types of its outputs, and for each input its type and constants for it (pictures and masks have none)."""

OUTPUTS = ("ParityShow", "PreviewAny", "PreviewImage", "ParityTyped")
MOST_OUTPUTS = 4
_BAD_LINKS = (["99", 0], ["1", 7], ["1", -1], ["1", "0"], ["1"], [], ["1", 0, 0])
_BAD_VALUES = (None, "x", 5000, [], {}, 1e9, True)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph without cycles; about one in three has something wrong in it."""
    graph: Graph = {}
    count = draw(st.integers(1, 9))
    for index in range(1, count + 1):
        last = index == count
        full = sum(node["class_type"] in OUTPUTS for node in graph.values()) >= MOST_OUTPUTS - 1
        others = tuple(name for name in NODES if name not in OUTPUTS)
        names = OUTPUTS if last else others if full or draw(st.integers(0, 3)) else OUTPUTS
        # What takes only links has to find some.
        names = tuple(name for name in names if all(linkable(graph, kind) for kind, _ in NODES[name][1].values()))
        class_type = draw(st.sampled_from(names))
        inputs = {name: draw(values(graph, kind, own)) for name, (kind, own) in NODES[class_type][1].items()}
        graph[str(index)] = {"class_type": class_type, "inputs": inputs}
    if draw(st.integers(0, 2)) == 0:
        spoil(draw, graph)
    return graph


def linkable(graph: Graph, kind: str) -> bool:
    """Whether an input of that type can be given something."""
    return kind not in ("IMAGE", "MASK") or bool(sources(graph, kind))


def sources(graph: Graph, kind: str) -> list[list[Any]]:
    """Links to outputs of that type; arrays are not shown as text, which each library writes its own way."""
    return [
        [node_id, slot]
        for node_id, node in graph.items()
        for slot, found in enumerate(NODES[node["class_type"]][0])
        if kind == found or (kind == "*" and found not in ("IMAGE", "MASK"))
    ]


def values(graph: Graph, kind: str, own: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What an input may be given: a constant, or a link to an earlier node's output of its type."""
    links = sources(graph, kind)
    if kind in ("IMAGE", "MASK"):
        return st.sampled_from(links)
    return st.one_of(own, st.sampled_from(links), st.sampled_from(links)) if links else own


def spoil(draw: st.DrawFn, graph: Graph) -> None:
    """Make one thing wrong. Links to nowhere go only into declared inputs: elsewhere they end ComfyUI's worker."""
    node = graph[draw(st.sampled_from(sorted(graph)))]
    names = sorted(node["inputs"])
    name = draw(st.sampled_from(names))
    how = draw(st.sampled_from(["missing", "link", "value", "unknown", "cycle"]))
    if how == "missing":
        del node["inputs"][name]
    elif how == "link":
        node["inputs"][name] = list(draw(st.sampled_from(_BAD_LINKS)))
    elif how == "value":
        node["inputs"][name] = draw(st.sampled_from(_BAD_VALUES))
    elif how == "unknown":
        node["inputs"]["unknown"] = draw(_SMALL)
    else:
        node["inputs"][name] = [draw(st.sampled_from(sorted(graph))), 0]


def reachable(graph: Graph) -> Graph:
    """The nodes above outputs only: a damaged one that validation does not reach would end ComfyUI's worker."""
    found: dict[str, None] = {}
    stack = [name for name, node in graph.items() if node["class_type"] in OUTPUTS]
    while stack:
        name = stack.pop()
        if name in graph and name not in found:
            found[name] = None
            stack += [
                v[0] for v in graph[name]["inputs"].values() if isinstance(v, list) and v and isinstance(v[0], str)
            ]
    return {name: graph[name] for name in graph if name in found}


def renamed(graph: Graph, names: list[str]) -> Graph:
    """The graph with its outputs under these names."""
    outputs = [name for name, node in graph.items() if node["class_type"] in OUTPUTS]
    given = dict(zip(outputs, names, strict=False))
    result: Graph = {}
    for name, node in graph.items():
        inputs = {
            key: [given.get(value[0], value[0]), *value[1:]] if isinstance(value, list) and value else value
            for key, value in node["inputs"].items()
        }
        result[given.get(name, name)] = {**node, "inputs": inputs}
    return result


class Duel:
    """Two servers that must tell the same of any graph."""

    def __init__(self, urls: tuple[str, str], order: SetOrder) -> None:
        self._urls, self._order = urls, order
        self._numbers = itertools.count()

    async def difference(self, graph: Graph) -> str | None:
        """Where the two differ in running ``graph`` twice; ``None`` where they do not."""
        graph = renamed(reachable(graph), self._order.steady())

        async def scenario(stage: Stage) -> None:
            await stage.join("a")
            await stage.run(graph)
            await stage.run(graph, prompt_id="again")
            await stage.look()

        told = []
        for url in self._urls:
            async with aiohttp.ClientSession(url) as session:
                told.append(await play(session, scenario, self._order))
        return first_difference(*told)

    def examine(self, count: int, start: int | None = None) -> Row:
        """Try ``count`` graphs; a row with every difference. They are the same each time, others for each ``start``."""
        row = Row()

        @(seed(start) if start is not None else lambda test: test)
        @settings(
            max_examples=count,
            derandomize=start is None,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(graphs())
        def attempt(graph: Graph) -> None:
            found = asyncio.run(self.difference(graph))
            if found is None:
                row.add(0)
            else:
                row.differs(f"{reachable(graph)}\n    {found}")

        attempt()
        return row
