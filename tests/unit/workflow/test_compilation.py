"""Compilation: a compiled prompt means what its ports mean, has none of them, and all that is wrong comes at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.exceptions import PortError
from discomfort.workflow.compilation import Binding, Literal, Recipe, Sink, ValueNode, ancestors, compiled
from discomfort.workflow.json_values import is_link
from discomfort.workflow.prompt_ports import prompt_ports
from discomfort.workflow.workflow_ports import PortRole

DEFINITIONS: dict[str, Any] = {
    "Load": {"input": {"required": {"name": [["a", "b"]]}}, "output": ["MODEL", "CLIP"]},
    "Sample": {
        "input": {
            "required": {
                "model": ["MODEL"], "seed": ["INT", {"min": 0, "max": 10}], "cfg": ["FLOAT", {}],
                "text": ["STRING", {}], "flag": ["BOOLEAN", {}], "any": ["*", {}], "image": ["IMAGE"],
            }
        },
        "output": ["IMAGE"],
    },
}  # fmt: skip


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def port(unique_id: str, **inputs: Any) -> dict[str, Any]:
    return node("DiscomfortPort", unique_id=unique_id, **inputs)


def compile_it(
    prompt: dict[str, Any], bindings: Mapping[str, Binding], sinks: Mapping[str, Sink] | None = None, **more: Any
) -> dict[str, Any]:
    """The compiled prompt; the given one is not changed."""
    before = copy.deepcopy(prompt)
    made = compiled(prompt, prompt_ports(prompt, DEFINITIONS), bindings, sinks or {}, **more)
    assert prompt == before
    return made


MAIN: dict[str, Any] = {
    "1": port("seed"),
    "2": {"class_type": "Sample", "inputs": {"seed": ["1", 0], "cfg": 1.5, "model": ["3", 0]}, "_meta": {"title": "S"}},
    "3": port("model"),
    "4": {**port("image", input_data=["2", 0]), "_meta": {"title": "the picture"}},
}


def test_every_kind_of_binding() -> None:
    """A constant in the input, a node under the port's id, the nodes of a recipe; a sink under the port's id."""
    recipe = Recipe({"r1": node("Load", name="a")}, ("r1", 0), "MODEL")
    sinks = {"image": Sink("Save", {"nonce": "n"})}
    by_value = compile_it(MAIN, {"seed": Literal(7), "model": recipe, "other": Literal(1)}, sinks)
    by_node = compile_it(MAIN, {"seed": ValueNode("Loader", {"blob": "b"}), "model": recipe})

    assert by_value == {
        "2": {"class_type": "Sample", "inputs": {"seed": 7, "cfg": 1.5, "model": ["r1", 0]}, "_meta": {"title": "S"}},
        "4": {
            "class_type": "Save", "inputs": {"nonce": "n", "input_data": ["2", 0]}, "_meta": {"title": "the picture"},
        },
        "r1": node("Load", name="a"),
    }  # fmt: skip
    assert by_node["1"] == {"class_type": "Loader", "inputs": {"blob": "b"}, "_meta": {"title": "seed"}}
    assert by_node["2"]["inputs"]["seed"] == ["1", 0]
    assert "4" not in by_node


@pytest.mark.parametrize("value", ["text", 7, 1.5, True, None, {"a": 1}, [1, 2], ["1", 0], []])
def test_constants_are_written_as_they_are(value: Any) -> None:
    """Except lists, which a server would read as links; into an OUTPUT port too."""
    prompt = {"1": port("x"), "2": node("Sample", any=["1", 0]), "3": port("copy", input_data=["1", 0])}
    made = compile_it(prompt, {"x": Literal(value)}, {"copy": Sink("Save")})
    written = {"__value__": value} if isinstance(value, list) else value

    assert made["2"]["inputs"]["any"] == made["3"]["inputs"]["input_data"] == written


def test_all_inputs_of_an_id_get_the_value() -> None:
    """D4; and an OUTPUT of the same id is written. D5."""
    prompt = {
        "1": port("x"), "2": port("x"), "3": node("Sample", seed=["1", 0], cfg=["2", 0]),
        "4": port("x", input_data=["3", 0]),
    }  # fmt: skip
    made = compile_it(prompt, {"x": Literal(3)}, {"x": Sink("Save")})

    assert made["3"]["inputs"] == {"seed": 3, "cfg": 3}
    assert made["4"]["inputs"] == {"input_data": ["3", 0]}


def test_everything_wrong_comes_in_one_error() -> None:
    """With node, input, what it takes and what it got; D22: a missing value is an error before anything is sent."""
    prompt = {
        "1": node(
            "Sample",
            model=["2", 0],
            seed=["3", 0],
            cfg=["4", 0],
            text=["5", 0],
            flag=["6", 0],
            any=["7", 0],
            image=["8", 0],
        ),
        "9": node("Load", name=["10", 0]),
        "11": port(""),
        **{str(key): port(f"p{key}") for key in (2, 3, 4, 5, 6, 7, 8, 10)},
    }
    bindings: dict[str, Binding] = {
        "p2": Recipe({"r": node("Load")}, ("r", 1), "CLIP"), "p3": Literal(11), "p4": Literal("1"), "p5": Literal(5),
        "p6": Literal("false"), "p7": Literal(object()), "p8": Literal(1), "p10": Literal("c"),
    }  # fmt: skip
    with pytest.raises(PortError) as caught:
        compile_it(prompt, bindings)

    told = {each.node_id: each.problem for each in caught.value.problems}
    assert told.keys() == {"2", "3", "4", "5", "6", "7", "8", "10", "11"}
    assert told["2"] == "port 'p2': node 1 'Sample' input 'model' takes MODEL, given CLIP"
    assert told["3"] == "port 'p3': node 1 'Sample' input 'seed' takes a number from 0 to 10, given 11"
    assert told["8"] == "port 'p8': node 1 'Sample' input 'image' takes IMAGE, given the number 1"
    assert "'c' is not among its 2 values" in told["10"]
    with pytest.raises(PortError, match=r"port 'seed': it has no value.*port 'model': it has no value"):
        compile_it(MAIN, {})


def test_recipes_that_contradict() -> None:
    """A node of the same id that differs, a missing output, and a port that is left, each named."""
    good = {"r": node("Load", name="a")}
    other = {"r": node("Load", name="b")}
    prompt = {"1": port("a"), "2": port("b"), "3": node("Sample", model=["1", 0], any=["2", 0])}
    assert (
        compile_it(prompt, {"a": Recipe(good, ("r", 0)), "b": Recipe(copy.deepcopy(good), ("r", 1))})["r"] == good["r"]
    )

    for second, problem in (
        (Recipe(other, ("r", 0)), "another node r"),
        (Recipe({"3": node("Load")}, ("3", 0)), "another node 3"),
        (Recipe({}, ("x", 0)), "names node x"),
        (Recipe({"p": port("name"), "q": node("Load", name=["p", 0])}, ("q", 0)), "the port 'name'"),
    ):
        with pytest.raises(PortError, match=problem):
            compile_it(prompt, {"a": Recipe(good, ("r", 0)), "b": second})


def test_nodes_that_only_stay_warm() -> None:
    """Come along unconnected, and replace nothing."""
    kept = [{"r1": node("Load", name="a"), "1": node("Other"), "2": node("Other")}]
    made = compile_it(MAIN, {"seed": Literal(1), "model": Recipe({"m": node("Load")}, ("m", 0))}, kept=kept)

    assert made.keys() == {"2", "m", "r1"}
    assert made["2"]["class_type"] == "Sample"


def test_nothing_is_shared() -> None:
    """Changing the result changes neither the prompt nor the bindings."""
    value, recipe, kept = {"a": [1]}, {"r": node("Load", deep=["x", {"y": 1}])}, {"k": node("Load", name=["z"])}
    prompt = {"1": port("x"), "2": port("m"), "3": node("Sample", any=["1", 0], model=["2", 0], other={"b": [2]})}
    bindings: dict[str, Binding] = {"x": Literal(value), "m": Recipe(recipe, ("r", 0))}
    before = copy.deepcopy((value, recipe, kept, prompt))
    made = compile_it(prompt, bindings, kept=[kept])
    made["3"]["inputs"]["any"]["a"].clear()
    made["3"]["inputs"]["other"]["b"].clear()
    made["r"]["inputs"].clear()
    made["k"]["inputs"].clear()

    assert (value, recipe, kept, prompt) == before


def test_ancestors() -> None:
    """All that an output needs, and no more."""
    prompt = {"1": node("A"), "2": node("B", x=["1", 0], y=3), "3": node("C", x=["2", 1]), "4": node("D", x=["2", 0])}

    assert list(ancestors(prompt, ("3", 0))) == ["1", "2", "3"]
    with pytest.raises(PortError, match="node 9 is needed"):
        ancestors({"1": node("A", x=["9", 0])}, ("1", 0))


# --- random prompts: compiled, and evaluated by hand ------------------------------------------------------------------

NAMES = ["a", "b", "c"]
RECIPE = {"r1": node("F", x="deep"), "r2": node("F", x=["r1", 0], y="r")}


@st.composite
def prompts(draw: st.DrawFn) -> dict[str, Any]:
    """Nodes and ports in a row, each linked only with earlier ones, in a random order of keys."""
    made: dict[str, Any] = {}
    outputs = 0
    for number in range(draw(st.integers(1, 10))):
        known = sorted(made)
        names = ["x", "y"]
        kind = draw(st.sampled_from(["F", "F", "port", "variable"]))
        if kind == "F":
            made[str(number)] = node("F", mark=number)
        else:
            names = ["input_data"]
            made[str(number)] = port(draw(st.sampled_from(NAMES)) if kind == "variable" else f"out{outputs}")
            outputs += kind == "port"
        for name in names if kind != "variable" else ():
            choice = draw(st.sampled_from(["link", "constant", "none"])) if known else "none"
            if choice == "link":
                made[str(number)]["inputs"][name] = [draw(st.sampled_from(known)), draw(st.integers(0, 2))]
            elif choice == "constant" and kind == "F":
                made[str(number)]["inputs"][name] = draw(st.sampled_from([1, "text", None]))
    order = draw(st.permutations(list(made)))
    return {key: made[key] for key in order}


BINDINGS: dict[str, Binding] = {
    "literal": Literal("constant"), "list": Literal(["1", 0]), "node": ValueNode("Value", {"key": "k"}),
    "recipe": Recipe(RECIPE, ("r2", 1)),
}  # fmt: skip


def meaning(binding: Binding, slot: int) -> Any:
    """What a consumer of a variable gets."""
    if isinstance(binding, Literal):
        return ("constant", repr(binding.value))
    return ("value", "k") if isinstance(binding, ValueNode) else evaluated(RECIPE, {}, "r2", 1)


def evaluated(prompt: dict[str, Any], variables: dict[str, Any], node_id: str, slot: int) -> Any:
    """The value at an output, as nested tuples; ports mean what the documentation says."""
    here = prompt[node_id]
    inputs = here["inputs"]
    if here["class_type"] == "Value":
        return ("value", inputs["key"])
    if here["class_type"] == "DiscomfortPort":
        if "input_data" in inputs:
            return read(prompt, variables, inputs["input_data"])
        return variables.get(inputs["unique_id"], ("no value", inputs["unique_id"]))
    given = sorted((name, read(prompt, variables, value)) for name, value in inputs.items())
    return ("F", slot, *given)


def read(prompt: dict[str, Any], variables: dict[str, Any], value: Any) -> Any:
    """The value of an input."""
    if is_link(value):
        return evaluated(prompt, variables, value[0], value[1])
    return ("constant", repr(value["__value__"] if isinstance(value, dict) else value))


@settings(max_examples=300, deadline=None)
@given(prompts(), st.fixed_dictionaries({name: st.sampled_from(sorted(BINDINGS)) for name in NAMES}))
def test_a_compiled_prompt_means_the_same(prompt: dict[str, Any], choices: dict[str, str]) -> None:
    """Every node and every OUTPUT gets what it gets by hand, whatever the variables are bound to."""
    found = prompt_ports(prompt)
    bindings = {name: BINDINGS[kind] for name, kind in choices.items()}
    # A port that nothing feeds is an INPUT whatever its name.
    bindings |= {name: Literal(name) for name in found.inputs() if name not in NAMES}
    variables = {name: meaning(binding, 0) for name, binding in bindings.items()}
    sinks = {name: Sink("Save") for name in found.outputs()}
    made = compiled(prompt, found, bindings, sinks)

    assert all(each["class_type"] != "DiscomfortPort" for each in made.values())
    assert {value[0] for each in made.values() for value in each["inputs"].values() if is_link(value)} <= made.keys()
    for node_id, each in prompt.items():
        if each["class_type"] == "F":
            assert evaluated(made, {}, node_id, 0) == evaluated(prompt, variables, node_id, 0)
    for name, each in found.outputs().items():
        by_hand = evaluated(prompt, variables, each.node_id, 0)
        assert read(made, {}, made[each.node_id]["inputs"]["input_data"]) == by_hand, name
    assert {each.node_id for each in found.of(PortRole.OUTPUT)} <= made.keys()
