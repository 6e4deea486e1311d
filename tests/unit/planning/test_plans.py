"""Plans: nodes, packs, files, values, money, and what cannot be told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from unit.planning.planned import HOST, FakeServer, plan_of, prompt_of, saved, workflow_of

from discomfort.exceptions import InputSelectorError
from discomfort.planning.import_errors import import_failures
from discomfort.planning.needs import FolderSpace, ModelNeed, PackNeed, ValueNeed
from discomfort.planning.pack_search import manager_packs
from discomfort.planning.room import crowded
from discomfort.planning.workflow_plan import WorkflowPlan, size_text

LOG = [
    "ComfyUI version: 0.33.0",
    "Cannot import /c/custom_nodes/ComfyUI-Gone_Pack module for custom nodes: No module named 'numba'",
    "   0.1 seconds (IMPORT FAILED): /c/custom_nodes/ComfyUI-Gone_Pack",
    "   0.1 seconds (IMPORT FAILED): /c/custom_nodes/other.py",
    "IMPORT FAILED: nodes_audio.py",
]


def test_packs_are_named_with_version_and_command() -> None:
    """All classes of one pack together, in subgraphs too; muted nodes count nothing."""
    gone = {"cnr_id": "gone-pack", "ver": "1.2.3"}
    workflow = workflow_of(
        {"type": "A", "properties": gone},
        {"type": "B", "properties": gone},
        {"type": "C", "properties": {"aux_id": "owner/repo"}},
        {"type": "D", "mode": 2},
    )

    plan = plan_of(workflow, FakeServer(prompt={"1": {"class_type": None, "inputs": {}}}))

    first, second = plan.packs
    assert (first.class_types, first.pack_id, first.version) == (("A", "B"), "gone-pack", "1.2.3")
    assert (first.node_ids, first.install) == (("1", "2"), "comfy node install gone-pack")
    assert second.install == "comfy node install https://github.com/owner/repo"
    assert plan.lacks == ("2 node packs",)


def test_the_log_says_why_a_pack_is_missing() -> None:
    """Folder and registry id differ in case and hyphens."""
    server = FakeServer(prompt={"1": {"class_type": None, "inputs": {}}})
    server.log = LOG

    plan = plan_of(workflow_of({"type": "A", "properties": {"cnr_id": "comfyui-gone-pack"}}), server)

    assert plan.packs[0].import_error == "No module named 'numba'"
    assert "it did not load: No module named 'numba'" in str(plan)


def test_a_class_without_pack_may_be_from_one_that_did_not_load() -> None:
    """That is said, not guessed."""
    server = FakeServer(prompt={"1": {"class_type": None, "inputs": {}}})
    server.log = LOG

    plan = plan_of(workflow_of({"type": "A"}), server)

    assert plan.packs[0].pack_id is None
    assert any("ComfyUI-Gone_Pack, which did not load: No module named 'numba'" in text for text in plan.unknown)


def test_an_attached_server_gives_its_log() -> None:
    """In pieces that end anywhere."""
    entries = [{"t": "", "m": LOG[0] + "\n" + LOG[1][:20]}, {"t": "", "m": LOG[1][20:] + "\n"}, "odd"]
    server = FakeServer({"/internal/logs/raw": {"entries": entries}}, {"1": {"class_type": None, "inputs": {}}})

    plan = plan_of(workflow_of({"type": "A", "properties": {"cnr_id": "comfyui-gone-pack"}}), server)

    assert plan.packs[0].import_error == "No module named 'numba'"


def test_failures_of_imports() -> None:
    """With a reason where the log has one; ComfyUI's own files apart."""
    failures = import_failures(LOG)

    assert dict(failures.packs)["other.py"] == "the log says no more than that it failed"
    assert failures.own == ("nodes_audio.py",)
    assert failures.is_complete
    assert failures.of("owner/other.git") is not None
    assert import_failures(["Cannot import x module for custom nodes: api_key=abcdef"]).packs["x"] == "api_key=***"


def test_the_manager_knows_packs() -> None:
    """One pack is the one; several are candidates."""
    answer = {"https://github.com/a/b": [["A", "B"], {}], "https://github.com/c/d": [["B"], {}], "odd": 5}
    path = "/customnode/getmappings?mode=local"
    server = FakeServer({path: answer}, {"1": {"class_type": None, "inputs": {}}})

    one, several = plan_of(workflow_of({"type": "A"}, {"type": "B"}), server).packs

    assert one.install == "comfy node install https://github.com/a/b"
    assert (several.repository, several.candidates) == (None, ("https://github.com/a/b", "https://github.com/c/d"))
    assert manager_packs([], ["A"]) == {}


def test_a_class_that_the_server_replaces_is_not_missing() -> None:
    """As the run would have it."""
    answers = {"/node_replacements": {"Old": [{"new_node_id": "SaveImage"}]}}
    server = FakeServer(answers, {"1": {"class_type": "Old", "inputs": {}}})

    assert plan_of(workflow_of({"type": "Old"}), server).packs == ()


def test_values_have_the_nearest_that_is_allowed() -> None:
    """As the server checks them: numbers in texts count as numbers."""
    prompt = prompt_of(
        n1={"class_type": "KSampler", "steps": 500, "cfg": "7", "sampler_name": "eulr"},
        n2={"class_type": "KSampler", "steps": "many", "sampler_name": "ddim"},
        n3={"class_type": "SaveImage", "images": ["1", 0]},
        n4={"class_type": "SaveImage", "images": ["2", 0]},
    )

    plan = plan_of(prompt)

    assert [(need.input, need.nearest) for need in plan.values] == [
        ("1.steps", 100),
        ("1.sampler_name", "euler"),
        ("2.steps", 20),
        ("2.cfg", 8.0),
    ]
    assert "node 1.sampler_name: the string 'eulr' is not among its 2 values; nearest: 'euler'" in str(plan)


def test_given_values_are_planned() -> None:
    """By selector; one that fits no input is an error, one outside of its range a need."""
    prompt = prompt_of(n1={"class_type": "KSampler", "steps": 5, "cfg": 1, "sampler_name": "ddim"}, n2=saved("1"))

    assert plan_of(prompt, values={"KSampler.steps": 0}).values[0].nearest == 1
    assert plan_of(prompt).values == ()
    with pytest.raises(InputSelectorError):
        plan_of(prompt, values={"KSampler.stps": 0})


def test_what_a_call_brings_and_refuses() -> None:
    """An input that gets a file with the run needs none on the server; what a call refuses is in the plan."""
    prompt = prompt_of(n1={"class_type": "LoadImage", "image": "gone.png"}, n2=saved("1"))
    wrong = ValueNeed(input="scale", value=9, problem="takes a number from 1 to 4", nearest=4.0, is_named=True)

    plan = plan_of(prompt, brought=frozenset({"1.image"}), wrong=(wrong,), unknown=("whether 'x' is an input",))

    assert (plan.files, plan.values) == ((), (wrong,))
    assert "\n  input scale: takes a number from 1 to 4; nearest: 4.0" in str(plan)
    assert "whether 'x' is an input" in plan.unknown


def test_ports_are_no_lack() -> None:
    """A run with values replaces them; what they depend on is checked, whether the server has their class or not."""
    port = {"class_type": "DiscomfortPort", "unique_id": "x", "input_data": ["1", 0]}
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "new.pt"}, n2=port)

    plan = plan_of(prompt)

    assert (plan.packs, plan.problems) == ((), ())
    assert [model.name for model in plan.missing_models] == ["new.pt"]


def test_input_files() -> None:
    """A listed one is there; others are looked for, with their folder."""
    server = FakeServer()
    server.files = {"input/sub/a.png", "output//b.png"}
    names = ["listed.png", "sub/a.png", "b.png [output]", "list.png", "c.png [temp]"]
    loaders = {f"n{at}": {"class_type": "LoadImage", "image": name} for at, name in enumerate(names)}
    savers = {f"n{at + 10}": saved(str(at)) for at in range(len(names))}

    plan = plan_of(prompt_of(**loaders, **savers), server)

    assert [(need.name, need.input, need.near) for need in plan.files] == [
        ("list.png", "3.image", ("listed.png",)),
        ("c.png [temp]", "4.image", ()),
    ]


@pytest.mark.parametrize("has_key", [True, False])
def test_partner_nodes(has_key: bool) -> None:
    """Each node that costs money, and whether there is a key."""
    plan = plan_of(prompt_of(n1={"class_type": "PaidImage", "prompt": ""}), has_key=has_key)

    assert [(each.node_id, each.class_type, each.has_key) for each in plan.partners] == [("1", "PaidImage", has_key)]
    assert plan.is_ready is has_key


def test_a_workflow_that_cannot_be_converted_is_planned_by_its_widgets() -> None:
    """What is certain without the frontend: models, files, values, packs."""
    url = f"{HOST}/x.pt"
    workflow = workflow_of(
        {
            "type": "CheckpointLoaderSimple",
            "widgets_values": ["x.pt"],
            "properties": {"models": [{"name": "x.pt", "url": url}]},
        },
        {"type": "KSampler", "widgets_values": [500, 1.0, "euler"]},
        {"type": "LoadImage", "widgets_values": ["gone.png", "image"]},
        {"type": "PaidImage", "widgets_values": [""]},
    )

    plan = plan_of(workflow, FakeServer())

    assert [model.url for model in plan.missing_models] == [url]
    assert [need.input for need in plan.values] == ["2.steps"]
    assert [need.name for need in plan.files] == ["gone.png"]
    assert [each.node_id for each in plan.partners] == ["4"]
    assert plan.problems == ("the workflow cannot be converted: no frontend",)
    assert plan.path is None


def test_values_of_another_branch() -> None:
    """Another value of a dynamic combo brings its inputs, and takes those of the other away."""
    prompt = prompt_of(n1={"class_type": "Resize", "mode": "scale", "mode.by": 2.0})
    plan = plan_of(prompt, values={"Resize.mode.width": 99, "Resize.mode": "fixed"})
    assert plan.prompt is not None
    assert plan.prompt["1"]["inputs"] == {"mode": "fixed", "mode.width": 99}
    assert [need.nearest for need in plan.values] == [9]
    assert plan_of(prompt, values={"Resize.mode": "fixed"}).values == ()


def test_a_prompt_without_output_is_a_problem() -> None:
    """The server would refuse it as a whole."""
    plan = plan_of(prompt_of(n1={"class_type": "KSampler", "steps": 500, "cfg": 1, "sampler_name": "ddim"}))

    assert len(plan.problems) == 1
    assert "no output node" in plan.problems[0]


def test_the_plan_as_json() -> None:
    """Everything that it says, as values that JSON has."""
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "new.pt"}, n2=saved("1"))

    facts = plan_of(prompt, name="a.json").to_json()

    assert json.loads(json.dumps(facts)) == facts
    assert (facts["workflow"], facts["ready"], facts["models"][0]["is_missing"]) == ("a.json", False, True)
    assert "prompt" not in facts


def test_a_line_break_in_a_name_makes_no_line() -> None:
    """Names come from workflows."""
    plan = WorkflowPlan(models=(ModelNeed(name="x", folder="vae", is_there=False, inputs=("1.a\nready",)),))

    assert "\nready" not in str(plan)


def test_disks() -> None:
    """Too small for one folder, or for two on one disk together."""
    small = FolderSpace(folder="vae", path="/", needed=6, free=10)

    assert not small.is_short
    assert replace(small, needed=11).is_short
    assert crowded([small]) == ""
    assert "vae, loras" in crowded([small, replace(small, folder="loras")])
    assert WorkflowPlan(spaces=(replace(small, needed=11),)).lacks == ("room on the disk",)


def test_small_texts() -> None:
    """Sizes in decimal units; remedies of packs."""
    assert [size_text(count) for count in (5, 1500, 6_900_000_000)] == ["5 bytes", "1.5 kB", "6.9 GB"]
    assert PackNeed(class_types=("A",), pack_id="comfy-core").remedy.startswith("update ComfyUI")
    assert PackNeed(class_types=("A",), pack_id="x; rm -rf /").install is None
    assert str(WorkflowPlan(name="a.json")) == "a.json: ready"
