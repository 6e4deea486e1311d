"""Interfaces by source: App Mode, ports, declaring nodes, sidecars, titles; merged, with what could not be used."""

from __future__ import annotations

from typing import Any

import pytest
from port_workflows import Graph

from discomfort.workflow.interface.declarations import NO_DEFAULT, InputTarget
from discomfort.workflow.interface.naming import identifier
from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.sources import interface_of

DEFINITIONS: dict[str, Any] = {
    "LoadImage": {
        "input": {"required": {"image": [["a.png", "b.png"], {"image_upload": True}]}},
        "output": ["IMAGE", "MASK"],
        "display_name": "Load Image",
    },
    "LoadImageMask": {
        "input": {"required": {"image": [["a.png"], {"image_upload": True}], "channel": [["alpha", "red"]]}},
        "output": ["MASK"],
    },
    "Sample": {
        "input": {
            "required": {
                "image": ["IMAGE"],
                "seed": ["INT", {"min": 0, "max": 99, "tooltip": "The noise."}],
                "cfg": ["FLOAT", {"min": 0.0, "max": 10.0, "step": 0.5}],
                "sampler": [["euler", "heun"]],
                "text": ["STRING", {"multiline": True}],
            }
        },
        "output": ["IMAGE"],
        "display_name": "Sampler",
    },
    "Resize": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "scale", "inputs": {"required": {"by": ["FLOAT", {"min": 0.1, "max": 8.0}]}}},
                            {"key": "fixed", "inputs": {"required": {"width": ["INT", {"default": 8}]}}},
                        ]
                    },
                ],
                "list": ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"x": ["INT", {"max": 5}]}},
                                                            "prefix": "x", "min": 1, "max": 4}}],
            }
        },
        "output": ["IMAGE"],
    },
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}},
        "output": [],
        "output_node": True,
        "display_name": "Save Image",
    },
    "CPackInputInt": {
        "input": {"required": {"value": ["INT", {}], "min": ["INT", {}], "max": ["INT", {}]}},
        "output": ["INT"],
    },
    "CPackOutputImage": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
    "ComfyUIDeployExternalEnum": {
        "input": {
            "required": {"input_id": ["STRING"]},
            "optional": {"default_value": ["STRING"], "options": ["STRING"], "display_name": ["STRING"]},
        },
        "output": ["*"],
    },
    "ComfyUIDeployExternalImage": {
        "input": {"required": {"input_id": ["STRING"]}, "optional": {"default_value": ["IMAGE"]}},
        "output": ["IMAGE"],
    },
}  # fmt: skip


def node(kind: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"class_type": kind, "inputs": inputs}
    return made if title is None else {**made, "_meta": {"title": title}}


def sampler(**more: Any) -> dict[str, Any]:
    return node("Sample", **{"image": ["1", 0], "seed": 3, "cfg": 2.0, "sampler": "euler", "text": "a cat", **more})


def plain(inputs: list[Any], outputs: list[Any]) -> Interface:
    """The interface of: load, sample, save."""
    graph = Graph()
    load = graph.add("LoadImage", "", "IMAGE:IMAGE", ["a.png", "image"], title="Load Photo")
    sample = graph.add("Sample", "image:IMAGE", "IMAGE:IMAGE", [3, 2.0, "euler", "a cat"])
    save = graph.add("SaveImage", "images:IMAGE", "", ["x"], title="Final")
    graph.link(load, 0, sample)
    graph.link(sample, 0, save)
    graph.extra = {"linearData": {"inputs": inputs, "outputs": outputs}}
    return interface_of(PLAIN, DEFINITIONS, workflow=graph.workflow())


PLAIN = {
    "1": node("LoadImage", "Load Photo", image="a.png"),
    "2": sampler(),
    "3": node("SaveImage", "Final", images=["2", 0], filename_prefix="x"),
}


def subgraph_workflow(inputs: list[Any], *, uses: int = 1, sidecar: dict[str, Any] | None = None) -> Interface:
    """A sampler in a subgraph, whose node shows ``text`` as an input labelled "Prompt" and ``cfg`` by proxy."""
    inner = Graph()
    sample = inner.add("Sample", "image:IMAGE text:STRING", "IMAGE:IMAGE", [3, 2.0, "euler", "a cat"], id=7)
    inner.nodes[0]["inputs"][1]["widget"] = {"name": "text"}
    inner.expose("inputs", "image", "IMAGE")
    inner.expose("inputs", "text", "STRING")
    inner.expose("outputs", "IMAGE", "IMAGE")
    inner.link(-10, 0, sample, 0, "IMAGE")
    inner.link(-10, 1, sample, 1, "STRING")
    inner.link(sample, 0, -20, 0)
    outer = Graph()
    outer.subgraphs = [inner.definition("sub")]
    load = outer.add("LoadImage", "", "IMAGE:IMAGE", ["a.png", "image"])
    prompt: dict[str, Any] = {"1": node("LoadImage", image="a.png")}
    for number in range(uses):
        host = outer.add("sub", "image:IMAGE text:STRING", "IMAGE:IMAGE", [], id=20 + number)
        held = outer.nodes[-1]
        held["inputs"][1] |= {"widget": {"name": "text"}, "label": "Prompt"}
        held["properties"] = {"proxyWidgets": [["7", "text"], ["7", "cfg"]]}
        outer.link(load, 0, host)
        prompt[f"{host}:7"] = sampler()
    outer.extra = {"linearData": {"inputs": inputs, "outputs": []}}
    return interface_of(prompt, DEFINITIONS, workflow=outer.workflow(), sidecar=sidecar)


def problems(interface: Interface) -> list[str]:
    return [str(problem) for problem in interface.problems]


def test_app_mode_with_types_from_the_definitions() -> None:
    """An input that names a file has the type of its content; bounds, choices, texts and defaults are those of the
    server and of the workflow.
    """
    entries = [["1", "image"], [2, "seed", {"height": 9}], ["2", "cfg"], ["2", "sampler"], ["2", "text"]]
    found = plain(entries, [3])
    photo, seed, cfg, method, text = found.inputs.values()
    assert list(found.inputs) == ["photo", "seed", "cfg", "sampler", "text"]
    assert (photo.type, photo.upload, photo.default, photo.choices) == ("IMAGE", "image", "a.png", None)
    assert (seed.type, seed.minimum, seed.maximum, seed.default, seed.description) == ("INT", 0, 99, 3, "The noise.")
    assert (cfg.type, cfg.step, method.type, method.choices) == ("FLOAT", 0.5, "COMBO", ("euler", "heun"))
    assert text.is_multiline
    assert seed.targets == (InputTarget("2", "seed"),)
    assert {name: (each.node_id, each.type) for name, each in found.outputs.items()} == {"final": ("3", "IMAGE")}
    assert found.problems == ()


def test_stale_entries_are_named() -> None:
    """With the reason: no such node, no such widget, a link in its place, not an entry at all."""
    found = plain([["9", "seed"], ["2", "steps"], ["2", "image"], "seed"], ["8", "1"])
    assert list(found.inputs) == []
    assert [line.split(";")[0] for line in problems(found)] == [
        "app: input 9 'seed': the workflow has no such node or widget",
        "app: input 2 'steps': no input of the prompt has its value (2.steps)",
        "app: input 2 'image': it is fed by output 0 of node 1 (LoadImage)",
        "app: input 'seed': it is not a node id and a widget",
        "app: output 8: the workflow has no such node",
        "app: output 1: LoadImage is not an output node",
    ]
    assert list(found.outputs) == ["final"]


def test_widgets_of_subgraphs() -> None:
    """Found by the id of the node inside, by the subgraph's node, by a path; the label of the outer widget counts."""
    for node_id, name in (("7", "text"), ("20", "text"), ("20:7", "text"), (f"{UUID}:20:text", "text")):
        found = subgraph_workflow([[node_id, name]])
        assert [(each.name, each.targets) for each in found.inputs.values()] == [
            ("prompt", (InputTarget("20:7", "text"),))
        ], node_id
        assert found.problems == ()
    found = subgraph_workflow([["20", "cfg"], ["7", "seed"]])
    assert [each.targets for each in found.inputs.values()] == [
        (InputTarget("20:7", "cfg"),),
        (InputTarget("20:7", "seed"),),
    ]


def test_ambiguous_entries_are_named() -> None:
    """Which of two uses of a subgraph is meant cannot be known; by a path it can."""
    found = subgraph_workflow([["7", "text"], ["7", "seed"], ["21:7", "seed"]], uses=2)
    assert [line.split(";")[0] for line in problems(found)] == [
        "app: input 7 'text': 2 widgets may be meant (nodes 20, 21)",
        "app: input 7 'seed': 2 widgets may be meant (nodes 20:7, 21:7)",
    ]
    assert found.inputs["seed"].targets == (InputTarget("21:7", "seed"),)


UUID = "e13112f7-3d09-4ae1-9e84-633a0627d945"


def test_a_primitive_node_sets_all_that_it_feeds() -> None:
    """Also where only one of the fed widgets is named."""
    graph = Graph()
    number = graph.add("PrimitiveNode", "", "INT:INT", [3, "fixed"], title="The seed")
    for _ in range(2):
        sample = graph.add("Sample", "image:IMAGE seed:INT", "IMAGE:IMAGE", [3, 2.0, "euler", "a cat"])
        graph.nodes[-1]["inputs"][1]["widget"] = {"name": "seed"}
        graph.link(number, 0, sample, 1)
    prompt = {"2": sampler(), "3": sampler()}
    for entry in (["1", "value"], ["2", "seed"]):
        graph.extra = {"linearData": {"inputs": [entry], "outputs": []}}
        found = interface_of(prompt, DEFINITIONS, workflow=graph.workflow())
        (only,) = found.inputs.values()
        assert (only.name, only.targets) == ("the_seed", (InputTarget("2", "seed"), InputTarget("3", "seed")))


def test_two_with_one_name() -> None:
    """The earlier keeps it; the other one gets the title, and it is said. A target is named once."""
    found = plain([["2", "seed"], ["2", "seed"]], [])
    assert list(found.inputs) == ["seed"]
    graph = Graph()
    graph.add("Sample", "image:IMAGE", "", [3, 2.0, "euler", "a"])
    graph.add("Sample", "image:IMAGE", "", [3, 2.0, "euler", "a"], title="Refine")
    graph.add("Sample", "image:IMAGE", "", [3, 2.0, "euler", "a"])
    graph.extra = {"linearData": {"inputs": [["1", "seed"], ["2", "seed"], ["3", "seed"]], "outputs": []}}
    found = interface_of({"1": sampler(), "2": sampler(), "3": sampler()}, DEFINITIONS, workflow=graph.workflow())
    assert list(found.inputs) == ["seed", "refine_seed", "seed_2"]
    assert [each.problem for each in found.problems] == [
        "another input has the name 'seed', so this one is 'refine_seed'",
        "another input has the name 'seed', so this one is 'seed_2'",
    ]


def test_ports() -> None:
    """A port has its id as name, the facts of what it feeds, and no default; the prompt alone is enough."""
    prompt = {
        "1": node("DiscomfortPort", unique_id="The Seed"),
        "2": sampler(image=["4", 0], seed=["1", 0]),
        "3": node("DiscomfortPort", unique_id="result", input_data=["2", 0]),
        "4": node("DiscomfortPort", unique_id="photo"),
        "5": node("DiscomfortPort", unique_id="alone"),
        "6": node("DiscomfortPort", unique_id="class"),
        "7": sampler(image=["4", 0], text=["6", 0]),
    }
    found = interface_of(prompt, DEFINITIONS)
    seed, photo, text = found.inputs["the_seed"], found.inputs["photo"], found.inputs["class_"]
    assert (seed.port, seed.type, seed.maximum, seed.default, seed.targets) == ("The Seed", "INT", 99, NO_DEFAULT, ())
    assert (photo.type, photo.is_required, text.is_multiline) == ("IMAGE", True, True)
    result = found.outputs["result"]
    assert (result.type, result.node_id, result.port) == ("IMAGE", "3", "result")
    assert problems(found) == [
        "port: port 'alone': it is connected to nothing that runs; connect it, or delete the node"
    ]


def test_dynamic_inputs() -> None:
    """A dynamic combo chooses among its keys; what it brings, and the inputs of a row, have their own bounds."""
    prompt = {"1": node("Resize", **{"mode": "scale", "mode.by": 2.0, "list.x0": 1})}
    sidecar = {"inputs": {"mode": "Resize.mode", "by": "Resize.mode.by", "x": "1.list.x0"}}
    found = interface_of(prompt, DEFINITIONS, sidecar=sidecar)
    assert found.inputs["mode"].choices == ("scale", "fixed")
    assert (found.inputs["by"].type, found.inputs["by"].maximum) == ("FLOAT", 8.0)
    assert (found.inputs["x"].type, found.inputs["x"].maximum, found.problems) == ("INT", 5, ())


def test_masks_have_their_own_kind_of_upload() -> None:
    """``LoadImageMask`` loads a picture as a mask."""
    prompt = {"1": node("LoadImageMask", image="a.png", channel="alpha")}
    found = interface_of(prompt, DEFINITIONS, sidecar={"inputs": {"mask": "LoadImageMask.image"}})
    assert (found.inputs["mask"].type, found.inputs["mask"].upload) == ("MASK", "mask")


def test_nodes_of_other_packs() -> None:
    """comfy-pack names by title or by what it feeds; ComfyDeploy by an id, beside which are bounds and texts."""
    prompt = {
        "1": node("CPackInputInt", "Int Input", value=3, min=1, max=9),
        "2": node("CPackInputInt", "width", value=3, min=0, max=0),
        "3": sampler(image=["5", 0], seed=["1", 0]),
        "4": node("ComfyUIDeployExternalEnum", input_id="style", default_value="red", options='["red", "blue"]',
                  display_name="Style of it"),
        "5": node("ComfyUIDeployExternalImage", input_id="photo"),
        "6": node("CPackOutputImage", "picture", images=["3", 0]),
        "7": node("ComfyUIDeployExternalEnum", input_id=""),
    }  # fmt: skip
    found = interface_of(prompt, DEFINITIONS)
    assert list(found.inputs) == ["seed", "width", "style", "photo"]
    assert (found.inputs["seed"].minimum, found.inputs["seed"].maximum) == (1, 9)
    assert (found.inputs["width"].minimum, found.inputs["width"].maximum) == (None, None)
    style, photo = found.inputs["style"], found.inputs["photo"]
    assert (style.label, style.choices, style.default) == ("Style of it", ("red", "blue"), "red")
    assert (photo.type, photo.targets, photo.default) == ("IMAGE", (InputTarget("5", "default_value"),), None)
    assert list(found.outputs) == ["picture"]
    assert problems(found) == ["node: node 7 (ComfyUIDeployExternalEnum): its input_id is empty; type a name into it"]


def test_outputs_by_title_where_nothing_is_declared() -> None:
    """Output nodes by the title that somebody gave them, else by what they save."""
    prompt = {
        "1": node("SaveImage", "Save Image", images=["9", 0]),
        "2": node("SaveImage", "Large picture", images=["9", 0]),
        "3": node("SaveImage", images=["9", 0]),
        "9": node("LoadImage", image="a.png"),
    }
    found = interface_of(prompt, DEFINITIONS)
    assert {name: each.node_id for name, each in found.outputs.items()} == {
        "image": "1", "large_picture": "2", "image_2": "3"
    }  # fmt: skip
    assert found.inputs == {}
    assert found.problems == ()


def test_a_sidecar_is_over_everything() -> None:
    """It names, documents, bounds and hides; without a target it means what another source has named."""
    graph = Graph()
    graph.add("Sample", "image:IMAGE", "", [3, 2.0, "euler", "a"], title="Main")
    graph.extra = {"linearData": {"inputs": [["1", "seed"], ["1", "cfg"]], "outputs": []}}
    sidecar = {
        "inputs": {
            "words": {"target": "Main.text", "description": "What to paint", "required": True},
            "seed": {"hidden": True, "default": 7},
            "strength": {"target": "Sample.cfg", "maximum": 4},
        },
        "outputs": {"picture": "9"},
    }
    prompt = {"1": {**sampler(), "_meta": {"title": "Main"}}, "9": node("SaveImage", images=["1", 0])}
    found = interface_of(prompt, DEFINITIONS, workflow=graph.workflow(), sidecar=sidecar)
    assert list(found.inputs) == ["words", "seed", "strength"]
    assert {each.source for each in found.inputs.values()} == {"sidecar"}
    words, seed, strength = found.inputs.values()
    assert (words.type, words.is_required, words.description) == ("STRING", True, "What to paint")
    assert (seed.is_hidden, seed.default, seed.maximum) == (True, 7, 99)
    assert (strength.minimum, strength.maximum) == (0.0, 4)
    assert list(found.outputs) == ["picture"]
    assert found.problems == ()


def test_what_is_wrong_in_a_sidecar_is_reported_with_the_nearest() -> None:
    """Unknown keys, selectors that name nothing, values of another kind, names of no other source."""
    sidecar = {
        "input": {},
        "inputs": {"a": {"target": "Sampel.seed"}, "b": {"target": "Sample.seed", "minmum": 1}, "photos": {},
                   "c": {"target": "Sample.cfg", "maximum": "4"}, "d": 3, "e": "Sample.image"},
        "outputs": {"x": "Save Imag"},
    }  # fmt: skip
    found = interface_of(PLAIN, DEFINITIONS, sidecar=sidecar)
    assert list(found.inputs) == ["b", "c"]
    assert problems(found) == [
        "sidecar: the sidecar: the key 'input' is not known; did you mean 'inputs'?",
        "sidecar: input 'a': 'Sampel.seed': there is no node 'Sampel'; did you mean 'Sample.seed'?",
        "sidecar: input 'b': the key 'minmum' is not known; did you mean 'minimum'?",
        "sidecar: input 'photos': it has no target, and no other source names 'photos'",
        "sidecar: input 'c': 'maximum' is the string '4'; write a number",
        "sidecar: input 'd': it is the number 3; write a target or an object",
        "sidecar: input 'e': 'Sample.image' is fed by output 0 of node 1 (Load Photo); name an input of that node",
        "sidecar: output 'x': there is no node 'Save Imag'; did you mean 'SaveImage' or 'LoadImage'?",
    ]


def test_a_sidecar_reaches_widgets_that_only_the_workflow_has() -> None:
    """The widget of a subgraph's node by the subgraph's name, or by its id; and a port by its id."""
    found = subgraph_workflow([], sidecar={"inputs": {"words": "Subgraph sub.text", "guidance": "#20.cfg"}})
    assert [each.targets for each in found.inputs.values()] == [
        (InputTarget("20:7", "text"),),
        (InputTarget("20:7", "cfg"),),
    ]
    prompt = {"1": node("DiscomfortPort", unique_id="n"), "2": sampler(image="", seed=["1", 0])}
    found = interface_of(prompt, DEFINITIONS, sidecar={"inputs": {"number": {"port": "n", "maximum": 9}}})
    assert [(each.name, each.port, each.maximum, each.is_required) for each in found.inputs.values()] == [
        ("number", "n", 9, True)
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Positive prompt", "positive_prompt"), ("CFG scale", "cfg_scale"), ("maxLength", "max_length"),
        ("Größe", "grosse"), ("2nd image", "n2nd_image"), ("class", "class_"), ("model.resolution", "model_resolution"),
        ("提示词", "提示词"), ("--", ""), ("_x_", "x"), ("None", "none"), ("match", "match_"),
    ],
)  # fmt: skip
def test_identifiers(text: str, name: str) -> None:
    """Any text becomes a name that Python takes, or none."""
    assert identifier(text) == name
    assert not name or name.isidentifier()
