"""``stitch_workflows``: what is joined, what comes along, what is refused; and a stitched workflow equals its parts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import saved
from hypothesis import given, settings
from hypothesis import strategies as st
from port_workflows import Graph, Workflow, as_schema_1, problems_of

from discomfort.exceptions import PayloadError, PortError
from discomfort.workflow_tools import WorkflowTools

TOOLS = WorkflowTools()


def loader(ids: Sequence[str] = ("model", "clip", "vae"), kinds: str = "MODEL:MODEL CLIP:CLIP VAE:VAE") -> Graph:
    """A loader whose name is an INPUT, and an OUTPUT for each of what it loads."""
    graph = Graph()
    node = graph.add("Loader", "name:COMBO", kinds)
    graph.input("model_name", node)
    for slot, unique_id in enumerate(ids):
        graph.output(unique_id, node, slot)
    return graph


def sampler() -> Graph:
    """Takes model, clip and vae, and gives a picture."""
    graph = Graph()
    node = graph.add("Sampler", "model:MODEL clip:CLIP vae:VAE seed:INT", "IMAGE:IMAGE", id=50)
    for slot, unique_id in enumerate(("model", "clip", "vae", "seed")):
        graph.input(unique_id, node, slot)
    graph.output("image", node)
    return graph


def stitch(*graphs: Graph | Workflow, **options: bool) -> tuple[Workflow, dict[str, Any]]:
    """The stitched workflow, checked for contradictions, and the whole result."""
    parts = [each.workflow() if isinstance(each, Graph) else each for each in graphs]
    before = copy.deepcopy(parts)
    result = TOOLS.stitch_workflows(parts, **options)
    assert parts == before
    assert problems_of(result["stitched_workflow"]) == []
    assert TOOLS.validate_workflow(result["stitched_workflow"])
    return result["stitched_workflow"], result


def kinds(workflow: Workflow) -> list[str]:
    return [node["type"] for node in workflow["nodes"]]


def feeder(workflow: Workflow, node: dict[str, Any], slot: int) -> dict[str, Any]:
    """The node that feeds an input, behind ports."""
    link = next(link for link in workflow["links"] if link[3:5] == [node["id"], slot])
    found: dict[str, Any] = next(each for each in workflow["nodes"] if each["id"] == link[1])
    return feeder(workflow, found, 0) if found["type"] == "DiscomfortPort" and found["inputs"][0]["link"] else found


@pytest.mark.parametrize("schema", [0.4, 1])
def test_outputs_feed_later_inputs(schema: float) -> None:
    """Ports of one id become PASSTHRU; what remains is INPUT or OUTPUT."""
    parts = [loader().workflow(), sampler().workflow()]
    merged, result = stitch(*(as_schema_1(each) if schema == 1 else each for each in parts))

    assert (list(result["inputs"]), list(result["outputs"])) == (["model_name", "seed"], ["image"])
    node = next(each for each in merged["nodes"] if each["type"] == "Sampler")
    assert {feeder(merged, node, slot)["type"] for slot in range(3)} == {"Loader"}
    assert [each["id"] for each in merged["nodes"]] == list(range(1, 12))
    assert sorted(link[0] for link in merged["links"]) == list(range(1, len(merged["links"]) + 1))
    assert (merged["version"], merged["last_node_id"], merged["last_link_id"]) == (0.4, 11, len(merged["links"]))
    assert len(result["execution_order"]) == 11
    assert [merged["nodes"][key - 1]["order"] for key in result["execution_order"]] == list(range(11))


def test_order_matters() -> None:
    """An OUTPUT never feeds an earlier workflow."""
    _, result = stitch(sampler(), loader())

    assert set(result["inputs"]) == {"model", "clip", "vae", "seed", "model_name"}
    assert set(result["outputs"]) == {"image", "model", "clip", "vae"}


def test_the_second_of_two_outputs_wins_and_no_end_is_left() -> None:
    """R6: loader, other loader, sampler; the first model is replaced before anybody takes it, so its port goes."""
    other = loader(["model"], "MODEL:MODEL")
    other.nodes[0]["type"] = "OtherLoader"
    merged, result = stitch(loader(), other, sampler(), delete_input_ports=True, delete_output_ports=True)

    assert (result["inputs"], result["outputs"]) == ({}, {})
    node = next(each for each in merged["nodes"] if each["type"] == "Sampler")
    assert [feeder(merged, node, slot)["type"] for slot in range(3)] == ["OtherLoader", "Loader", "Loader"]
    assert node["inputs"][3]["link"] is None
    assert kinds(merged).count("DiscomfortPort") == 6


def test_a_replaced_output_that_was_used_stays() -> None:
    """The chain model → changed model → sampler keeps its order."""
    change = Graph()
    node = change.add("Lora", "model:MODEL", "MODEL:MODEL")
    change.input("model", node)
    change.output("model", node)
    merged, result = stitch(loader(), change, change, sampler())

    assert list(result["outputs"]) == ["image"]
    last = next(each for each in merged["nodes"] if each["type"] == "Sampler")
    second = feeder(merged, last, 0)
    first = feeder(merged, second, 0)
    assert (second["type"], first["type"], feeder(merged, first, 0)["type"]) == ("Lora", "Lora", "Loader")
    assert second["id"] != first["id"]


def test_every_input_of_an_id_is_fed() -> None:
    """Not only the last one. D4."""
    graph = Graph()
    for _ in range(3):
        node = graph.add("Decode", "vae:VAE", "IMAGE:IMAGE")
        graph.input("vae", node)
    merged, result = stitch(loader(), graph)

    decoders = [node for node in merged["nodes"] if node["type"] == "Decode"]
    assert [feeder(merged, node, 0)["type"] for node in decoders] == ["Loader"] * 3
    assert "vae" not in result["inputs"]


def test_types_that_exclude_each_other() -> None:
    """A ValueError that names both nodes; numbers go together, and so do texts and combos. C11."""
    wrong = loader(["vae"], "MODEL:MODEL")
    with pytest.raises(PortError, match=r"port 'vae': node 3 of workflow 1 gives MODEL, but node 50 .*VAE") as caught:
        stitch(wrong, sampler())
    assert isinstance(caught.value, ValueError)
    assert len(caught.value.problems) == 1

    number = Graph()
    node = number.add("Number", "", "FLOAT:FLOAT STRING:STRING")
    number.output("seed", node, 0)
    number.output("model_name", node, 1)
    assert set(stitch(number, sampler())[1]["inputs"]) == {"model", "clip", "vae"}
    assert stitch(number, loader())[1]["inputs"] == {}


def test_two_outputs_of_one_id_in_a_workflow() -> None:
    """One of them would be lost."""
    with pytest.raises(PortError, match="nodes 3, 4 of workflow 1"):
        stitch(loader(["model", "model", "vae"]))


def test_nothing_and_what_is_not_a_workflow() -> None:
    """ValueError, and TypeError that names the index; a path alone is one workflow."""
    with pytest.raises(ValueError, match="empty"):
        TOOLS.stitch_workflows([])
    with pytest.raises(TypeError, match=r"workflows\[1\]"):
        TOOLS.stitch_workflows([sampler().workflow(), 5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"workflows\[0\]: invalid structure"):
        TOOLS.stitch_workflows([{"nodes": [{"id": 1, "type": "A"}]}])
    with pytest.raises(FileNotFoundError):
        TOOLS.stitch_workflows("none.json")


def box(inner: Graph, key: str, outer_inputs: str = "", outer_outputs: str = "") -> Graph:
    """A workflow with one node, a subgraph."""
    graph = Graph()
    graph.subgraphs = [inner.definition(key)]
    graph.add(key, outer_inputs, outer_outputs, id=9)
    return graph


def test_subgraphs_come_along() -> None:
    """Equal definitions once, different ones of one id both: the later gets a new id, also where it is nested. D20."""
    inner = Graph()
    inner.add("A")
    other = Graph()
    other.add("B")
    nest = Graph()
    nest.add("same")
    parts = []
    for each in (inner, inner, other, other):
        graph = box(nest, "nest")
        graph.subgraphs.append(each.definition("same"))
        graph.add("same", id=12)
        parts.append(graph)
    merged, _ = stitch(*parts)

    definitions = {each["id"]: each for each in merged["definitions"]["subgraphs"]}
    assert len(definitions) == len(merged["definitions"]["subgraphs"]) == 4
    inside = []
    for node in merged["nodes"]:
        held = definitions[node["type"]]["nodes"][0]
        inside.append(definitions[held["type"]]["nodes"][0]["type"] if held["type"] in definitions else held["type"])
    assert inside == ["A", "A"] * 2 + ["B", "B"] * 2


def test_group_nodes_come_along() -> None:
    """The second of two different groups of one name gets another name. D20."""
    parts = []
    for kind in ("A", "B", "A"):
        graph = Graph()
        graph.extra["groupNodes"] = {"pair": {"nodes": [{"type": kind}], "links": [], "external": []}}
        graph.add("workflow>pair")
        parts.append(graph)
    merged, _ = stitch(*parts)

    groups = merged["extra"]["groupNodes"]
    assert kinds(merged) == ["workflow>pair", "workflow>pair 2", "workflow>pair"]
    assert [groups[name]["nodes"][0]["type"] for name in ("pair", "pair 2")] == ["A", "B"]


def test_group_nodes_that_contain_each_other() -> None:
    """Are an error, not an endless search."""
    graph = Graph()
    graph.extra["groupNodes"] = {
        "a": {"nodes": [{"type": "workflow>b"}]}, "b": {"nodes": [{"type": "workflow/a"}]},
    }  # fmt: skip
    graph.add("workflow>a")
    with pytest.raises(PayloadError, match="contain each other"):
        stitch(graph)


def dotted() -> Graph:
    """A link through two dots, a floating link, a frame, App Mode, and what a pack noted."""
    graph = sampler()
    graph.extra = {
        "ds": {"scale": 1},
        "reroutes": [{"id": 1, "pos": [5, 5], "linkIds": [2]}, {"id": 2, "parentId": 1, "pos": [6, 6], "linkIds": [2]},
                     {"id": 3, "pos": [9, 9], "linkIds": [], "floating": {"slotType": "output"}}],
        "linkExtensions": [{"id": 2, "parentId": 2}],
        "linearData": {"inputs": [[50, "seed"], [999, "gone"]], "outputs": ["51"]},
        "ue_links": [{"upstream": 50}],
        "node_versions": {"comfy-core": "1"},
    }  # fmt: skip
    graph.more = {
        "groups": [{"id": 1, "title": "Frame", "bounding": [-50, -50, 500, 300]}],
        "floatingLinks": [
            {"id": 1, "origin_id": 50, "origin_slot": 0, "target_id": -1, "target_slot": -1, "type": "*", "parentId": 3}
        ],
    }
    return graph


@pytest.mark.parametrize("schema", [0.4, 1])
def test_frames_dots_and_app_mode_come_along(schema: float) -> None:
    """All are renumbered, and the parts do not overlap; the first OUTPUT is replaced by the second, and goes. D20."""
    part = dotted().workflow()
    part = as_schema_1(part) if schema == 1 else part
    merged, _ = stitch(part, part)

    extra = merged["extra"]
    assert [dot["id"] for dot in extra["reroutes"]] == [1, 2, 3, 4, 5, 6]
    assert [dot.get("parentId") for dot in extra["reroutes"]] == [None, 1, None, None, 4, None]
    ends = {each["id"]: each["parentId"] for each in extra["linkExtensions"]}
    assert sorted(ends.values()) == [2, 5]
    links = {link[0]: link for link in merged["links"]}
    assert [links[key][4] for key in ends] == [1, 1]
    first, second = ends
    assert [dot["linkIds"] for dot in extra["reroutes"]] == [[first], [first], [], [second], [second], []]
    assert [each["parentId"] for each in merged["floatingLinks"]] == [3, 6]
    assert [each["origin_id"] for each in merged["floatingLinks"]] == [1, 6]
    assert [frame["id"] for frame in merged["groups"]] == [1, 2]
    assert extra["linearData"] == {"inputs": [[1, "seed"], [6, "seed"]], "outputs": ["2", "7"]}
    assert ("ue_links" in extra, extra["ds"], extra["node_versions"]) == (False, {"scale": 1}, {"comfy-core": "1"})
    left_frame, right_frame = (frame["bounding"] for frame in merged["groups"])
    assert left_frame[0] + left_frame[2] < right_frame[0]
    assert left_frame[1] == right_frame[1]
    right = max(node["pos"][0] + node["size"][0] for node in merged["nodes"][:5])
    assert right < min(node["pos"][0] for node in merged["nodes"][5:])


def boxed_sampler() -> Graph:
    """The sampler, two subgraphs deep."""
    middle = Graph()
    middle.add("inner", id=5)
    graph = Graph()
    graph.subgraphs = [sampler().definition("inner"), middle.definition("middle")]
    graph.add("middle", id=9)
    return graph


def boxed_loader() -> Graph:
    return box(loader(), "load")


def test_ports_inside_subgraphs_are_reached_through_new_slots() -> None:
    """Each subgraph on the way gets an input or an output of this name."""
    merged, result = stitch(boxed_loader(), boxed_sampler())

    assert set(result["inputs"]) == {"model_name", "seed"}
    assert {name: port["node_id"] for name, port in result["outputs"].items()} == {"image": "2:5:55"}
    first, second = merged["nodes"]
    assert [slot["name"] for slot in first["outputs"]] == ["model", "clip", "vae"]
    assert [slot["name"] for slot in second["inputs"]] == ["model", "clip", "vae"]
    assert [link[1:5] for link in merged["links"]] == [[1, 0, 2, 0], [1, 1, 2, 1], [1, 2, 2, 2]]
    assert TOOLS.discover_port_nodes(merged)["passthrus"]["clip"]["type"] == "CLIP"


def test_new_slots_have_the_same_number_on_both_sides() -> None:
    """The frontend matches slots by number, and an older one left out those that are widgets."""
    inner = sampler()
    for name in ("image", "steps", "cfg"):
        inner.expose("inputs", name, "*")
    merged, result = stitch(loader(), box(inner, "inner", "image:IMAGE"))

    (definition,) = merged["definitions"]["subgraphs"]
    names = ["image", "steps", "cfg", "model", "clip", "vae"]
    assert [slot["name"] for slot in definition["inputs"]] == names
    assert [slot["name"] for slot in merged["nodes"][-1]["inputs"]] == names
    assert set(result["inputs"]) == {"model_name", "seed"}


def test_a_subgraph_that_is_used_twice_cannot_be_connected() -> None:
    """A new input of its definition would be there for both uses."""
    graph = boxed_sampler()
    graph.add("middle", id=10)
    with pytest.raises(PortError, match=r"'Subgraph inner' is used 2 times"):
        stitch(loader(), graph)


def test_ports_inside_subgraphs_are_deleted_too() -> None:
    """Also there nothing is left of the ends."""
    merged, result = stitch(boxed_sampler(), delete_input_ports=True, delete_output_ports=True)

    assert (result["inputs"], result["outputs"]) == ({}, {})
    inner = next(each for each in merged["definitions"]["subgraphs"] if each["id"] == "inner")
    assert kinds(inner) == ["Sampler"]


def test_a_port_without_saved_slots() -> None:
    """Gets those that the new link needs."""
    part = sampler().workflow()
    lone = {"nodes": [{"id": 1, "type": "A", "outputs": [{"name": "x", "type": "MODEL", "links": [1]}]},
                      {"id": 2, "type": "DiscomfortPort", "widgets_values": ["model"]}],
            "links": [[1, 1, 0, 2, 0, "MODEL"]]}  # fmt: skip
    result = TOOLS.stitch_workflows([lone, part])

    assert "model" not in result["inputs"]
    assert result["stitched_workflow"]["nodes"][1]["outputs"][0]["links"] == [
        result["stitched_workflow"]["last_link_id"]
    ]


def test_saved_workflows_come_through() -> None:
    """Every recorded workflow, stitched with itself: twice the nodes and links, definitions once, nothing broken."""
    saved.require()
    for path in sorted(saved.WORKFLOWS.glob("*.json")):
        workflow = saved.read(path)
        merged = TOOLS.stitch_workflows([path, path])["stitched_workflow"]

        assert kinds(merged) == kinds(workflow) * 2, path.name
        assert len(merged["links"]) == 2 * len(workflow["links"]), path.name
        assert merged.get("definitions") == workflow.get("definitions"), path.name
        assert len(merged["groups"]) == 2 * len(workflow["groups"]), path.name
        # One of them has a border with two links into one output.
        inside = {"nodes": [], "links": [], "definitions": workflow.get("definitions", {})}
        assert problems_of(merged) == problems_of(inside), path.name


# --- a stitched workflow gives what its parts give, one after another ----------------------------------------------

IDS = ["a", "b", "c"]


@st.composite
def part(draw: st.DrawFn, number: int) -> Graph:
    """A workflow of nodes, reroutes and ports; each node has a mark of its own."""
    graph = Graph()
    sources: list[int] = []
    for index in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["F", "F", "Reroute", "port", "input"]))
        if kind == "F":
            node = graph.add("F", "x:* y:*", "out:*", [f"{number}.{index}"])
            slots = 2
        elif kind == "Reroute":
            node, slots = graph.add("Reroute", ":*", ":*"), 1
        else:
            # Only what feeds something is an INPUT; without a source, a port may become one of any kind.
            node, slots = (
                graph.port(draw(st.sampled_from(IDS)) if kind == "input" else f"p{index}"),
                int(kind == "port"),
            )
        for slot in range(slots):
            if draw(st.booleans()) and sources:
                graph.link(draw(st.sampled_from(sources)), 0, node, slot)
        sources.append(node)
    for unique_id in sorted(draw(st.sets(st.sampled_from(IDS), max_size=2))):
        graph.output(unique_id, draw(st.sampled_from(sources)))
    return graph


class ByHand:
    """The values in a workflow, as nested tuples."""

    def __init__(self, workflow: Workflow, context: dict[str, Any]) -> None:
        self.nodes = {node["id"]: node for node in workflow["nodes"]}
        self.into = {(link[3], link[4]): link[1] for link in workflow["links"]}
        self.context = context
        self.known: dict[int, Any] = {}

    def is_fed(self, node_id: int) -> bool:
        """Whether something real arrives at the first input of a node."""
        origin = self.into.get((node_id, 0))
        return origin is not None and (self.nodes[origin]["type"] != "Reroute" or self.is_fed(origin))

    def value(self, node_id: int) -> Any:
        node = self.nodes[node_id]
        if node_id not in self.known:
            if node["type"] == "F":
                made: Any = ("F", node["widgets_values"][0], *(self.source(node_id, slot) for slot in range(2)))
            elif node["type"] == "DiscomfortPort" and not self.is_fed(node_id):
                made = self.context.get(node["widgets_values"][0])
            else:
                made = self.source(node_id, 0)
            self.known[node_id] = made
        return self.known[node_id]

    def source(self, node_id: int, slot: int) -> Any:
        return self.value(self.into[node_id, slot]) if (node_id, slot) in self.into else None

    def outputs(self) -> dict[str, Any]:
        """What the OUTPUT ports get."""
        found = TOOLS.discover_port_nodes({"nodes": list(self.nodes.values()), "links": self.links()})["outputs"]
        return {name: self.value(port["node_id"]) for name, port in found.items() if self.is_fed(port["node_id"])}

    def links(self) -> list[list[Any]]:
        return [[key, origin, 0, *end, "*"] for key, (end, origin) in enumerate(self.into.items(), 1)]


def run(workflow: Workflow, context: dict[str, Any]) -> set[Any]:
    """What each marked node makes; OUTPUT ports write to the context at the end."""
    hand = ByHand(workflow, dict(context))
    made = {hand.value(node["id"]) for node in workflow["nodes"] if node["type"] == "F"}
    context.update(hand.outputs())
    return made


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_stitched_workflow_gives_what_its_parts_give(data: st.DataObject) -> None:
    """Run one after another with a context, or stitched and run once: the same values, everywhere."""
    parts = [data.draw(part(number)).workflow() for number in range(data.draw(st.integers(1, 4)))]
    start = {"a": "A", "b": "B", "c": "C"}
    by_hand, at_once = dict(start), dict(start)
    expected = set().union(*(run(each, by_hand) for each in parts))
    merged = TOOLS.stitch_workflows(parts)["stitched_workflow"]

    assert problems_of(merged) == []
    assert run(merged, at_once) == expected
    ends = ByHand(merged, start).outputs()
    assert {name: by_hand[name] for name in IDS if name in ends} == {name: ends[name] for name in IDS if name in ends}
    deleted = TOOLS.stitch_workflows(parts, delete_input_ports=True, delete_output_ports=True)
    assert problems_of(deleted["stitched_workflow"]) == []
    assert (deleted["inputs"], deleted["outputs"]) == ({}, {})


def test_what_only_feeds_a_replaced_output_becomes_no_output() -> None:
    """Neither an INPUT that would be joined, nor a port in between."""
    first, second, third = Graph(), Graph(), Graph()
    first.output("b", first.add("F", "x:*", "out:*", ["first"]))
    entry, between = second.port("b"), second.port("between")
    second.link(entry, 0, between)
    second.output("b", between)
    third.output("b", third.add("F", "x:*", "out:*", ["third"]))

    result = TOOLS.stitch_workflows([first.workflow(), second.workflow(), third.workflow()])
    outputs = result["outputs"]
    merged = result["stitched_workflow"]
    assert problems_of(merged) == []
    assert list(outputs) == ["b"]
    assert ByHand(merged, {}).outputs() == {"b": ("F", "third", None, None)}


@settings(max_examples=60, deadline=None)
@given(part(0))
def test_reduced_workflows_give_the_same(graph: Graph) -> None:
    """Without reroutes, without connected ports, and pruned to an OUTPUT: what is left has the values it had."""
    workflow = graph.workflow()
    whole = ByHand(workflow, {"a": "A", "b": "B", "c": "C"})
    changed = [TOOLS._get_workflow_with_reroutes_removed(workflow), *TOOLS._delete_passthru_ports([workflow])]
    changed += [TOOLS._prune_workflow_to_output(workflow, name) for name in whole.outputs()]
    for each in changed:
        assert problems_of(each) == []
        hand = ByHand(each, whole.context)
        assert all(hand.value(node["id"]) == whole.value(node["id"]) for node in each["nodes"])


def test_loader_latent_and_sampler() -> None:
    """R4: the advanced example. One value feeds two inputs; what remains is what the script gives."""
    load = Graph()
    checkpoint = load.add("CheckpointLoaderSimple", "ckpt_name:COMBO", "MODEL:MODEL CLIP:CLIP VAE:VAE")
    lora = load.add(
        "LoraLoader",
        "model:MODEL clip:CLIP lora_name:COMBO strength_model:FLOAT strength_clip:FLOAT",
        "MODEL:MODEL CLIP:CLIP",
    )
    load.link(checkpoint, 0, lora, 0)
    load.link(checkpoint, 1, lora, 1)
    load.input("model_name", checkpoint)
    load.input("lora_name", lora, 2)
    load.link(load.input("lora_strength", lora, 3), 0, lora, 4)
    for unique_id, node, slot in (("model", lora, 0), ("clip", lora, 1), ("vae", checkpoint, 2)):
        load.output(unique_id, node, slot)
    latent = Graph()
    encode = latent.add("VAEEncode", "pixels:IMAGE vae:VAE", "LATENT:LATENT")
    latent.input("input_image", encode, 0)
    latent.input("vae", encode, 1)
    latent.output("latent", encode)
    sample = Graph()
    text = sample.add("CLIPTextEncode", "clip:CLIP text:STRING", "CONDITIONING:CONDITIONING")
    run_it = sample.add(
        "KSampler", "model:MODEL positive:CONDITIONING latent_image:LATENT denoise:FLOAT", "LATENT:LATENT"
    )
    decode = sample.add("VAEDecode", "samples:LATENT vae:VAE", "IMAGE:IMAGE")
    sample.link(text, 0, run_it, 1)
    sample.link(run_it, 0, decode, 0)
    for unique_id, node, slot in (
        ("model", run_it, 0), ("clip", text, 0), ("vae", decode, 1), ("prompt", text, 1), ("latent", run_it, 2),
        ("denoise", run_it, 3),
    ):  # fmt: skip
        sample.input(unique_id, node, slot)
    sample.output("output_image", decode)
    merged, result = stitch(load, latent, sample)

    wanted = {"model_name", "lora_name", "lora_strength", "input_image", "prompt", "denoise"}
    assert (set(result["inputs"]), set(result["outputs"])) == (wanted, {"output_image"})
    assert {name: port["type"] for name, port in result["inputs"].items()} == {
        "model_name": "COMBO", "lora_name": "COMBO", "lora_strength": "FLOAT", "input_image": "IMAGE",
        "prompt": "STRING", "denoise": "FLOAT",
    }  # fmt: skip
    vaes = [node for node in merged["nodes"] if node["type"] in ("VAEEncode", "VAEDecode")]
    assert [feeder(merged, node, 1)["type"] for node in vaes] == ["CheckpointLoaderSimple"] * 2
