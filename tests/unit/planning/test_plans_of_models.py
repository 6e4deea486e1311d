"""Models in plans: what is missing, what is there, and what the workflow says about them."""

from __future__ import annotations

from typing import Any

import pytest
from unit.planning.planned import HOST, FakeServer, plan_of, prompt_of, saved, workflow_of

from discomfort.planning.declared_models import declared_models, is_contained, is_model_name
from discomfort.planning.needs import FileDigest

URL = f"{HOST}/new.safetensors"


def loader(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "CheckpointLoaderSimple", "widgets_values": [name], "properties": properties}


def test_a_missing_model_has_what_the_node_says() -> None:
    """Folder, URL, digest, and the input that names it."""
    listed = {
        "name": "new.safetensors",
        "url": URL,
        "directory": "checkpoints",
        "hash": "AB" * 32,
        "hash_type": "SHA256",
    }
    workflow = workflow_of(loader("new.safetensors", models=[listed]))
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "new.safetensors"}, n2=saved("1"))

    plan = plan_of(workflow, FakeServer(prompt=prompt))

    [model] = plan.missing_models
    assert (model.place, model.url, model.inputs) == ("checkpoints/new.safetensors", URL, ("1.ckpt_name",))
    assert model.digest == FileDigest("sha256", "ab" * 32)
    assert model.source == "models"
    assert plan.lacks == ("1 model",)
    assert f"checkpoints/new.safetensors (node 1.ckpt_name): sha256 {'ab' * 32}; {URL}" in str(plan)


def test_a_model_in_the_list_is_there() -> None:
    """What the input's list has is there, with its subfolder."""
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "xl/base.safetensors"}, n2=saved("1"))

    plan = plan_of(prompt)

    assert [model.is_there for model in plan.models] == [True]
    assert plan.is_ready, str(plan)


def test_names_that_are_near_are_told() -> None:
    """First the same file in another folder, then similar names."""
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "base.safetensors"}, n2=saved("1"))

    [model] = plan_of(prompt).missing_models

    assert model.near[0] == "xl/base.safetensors"


def test_nodes_that_do_not_run_need_nothing() -> None:
    """ComfyUI checks what leads to an output; the model of another node is named, but not missing."""
    listed = {"name": "new.safetensors", "url": URL, "directory": "checkpoints"}
    workflow = workflow_of(loader("new.safetensors", models=[listed]), {"type": "SaveImage"})
    prompt = prompt_of(
        n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "new.safetensors"},
        n2={"class_type": "CheckpointLoaderSimple", "ckpt_name": "sd15.safetensors"},
        n3=saved("2"),
    )

    plan = plan_of(workflow, FakeServer(prompt=prompt))

    assert [(model.name, model.inputs, model.is_missing) for model in plan.models] == [
        ("sd15.safetensors", ("2.ckpt_name",), False),
        ("new.safetensors", (), False),
    ]
    assert plan.is_ready, str(plan)


def test_a_note_may_have_the_address() -> None:
    """A link whose last part is the name; a page of Hugging Face becomes the file."""
    page = "https://huggingface.co/someone/some/blob/main/split/new.safetensors"
    note = {"type": "MarkdownNote", "widgets_values": [f"- [new.safetensors]({page})."]}
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "new.safetensors"}, n2=saved("1"))

    [model] = plan_of(workflow_of(loader("new.safetensors"), note), FakeServer(prompt=prompt)).missing_models

    assert model.url == "https://huggingface.co/someone/some/resolve/main/split/new.safetensors"
    assert (model.folder, model.source) == ("checkpoints", "notes")


def test_the_manager_may_have_the_address() -> None:
    """Asked only for models of which the workflow says nothing."""
    entry = {"filename": "new.safetensors", "url": URL, "save_path": "checkpoints/SDXL"}
    server = FakeServer({"/externalmodel/getlist?mode=local": {"models": [entry, {"filename": "../x.pt"}]}})
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "new.safetensors"}, n2=saved("1"))

    [model] = plan_of(prompt, server).missing_models

    assert (model.url, model.source) == (URL, "manager")


def test_the_manager_is_not_asked_about_what_is_there() -> None:
    """Nor is anything else than the listing of the folder, and what sizes need."""
    server = FakeServer()
    prompt = prompt_of(n1={"class_type": "CheckpointLoaderSimple", "ckpt_name": "sd15.safetensors"}, n2=saved("1"))

    plan_of(prompt, server)

    assert server.asked == ["/models/checkpoints", "/experiment/models/checkpoints"]


def test_a_subgraph_and_the_workflow_may_list_models() -> None:
    """In nodes inside subgraphs, once for each instance, and at the top."""
    inner = {"id": "sub", "nodes": [{"id": 7, **loader("a.pt", models=[{"name": "a.pt", "url": URL}])}], "links": []}
    workflow = workflow_of(
        {"type": "sub"}, models=[{"name": "b.pt", "url": URL, "directory": "unet"}], definitions={"subgraphs": [inner]}
    )

    found = declared_models(workflow)

    assert [(model.name, model.folder, model.node_id) for model in found] == [
        ("a.pt", "", "1:7"),
        ("b.pt", "diffusion_models", ""),
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "../../etc/passwd", "url": URL},
        {"name": "/etc/x.safetensors", "url": URL},
        {"name": "a\0b.safetensors", "url": URL},
        {"name": "", "url": URL},
        {"name": None},
        "text",
    ],
)
def test_names_that_leave_their_folder_are_not_read(entry: Any) -> None:
    """A workflow may come from anybody."""
    assert declared_models(workflow_of({"type": "X", "properties": {"models": [entry]}})) == ()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "https://user:pass@h/x.pt", "ftp://h/x.pt", "javascript:1", "https://", 5, "https://a b"],
)
def test_only_plain_web_addresses_count(url: object) -> None:
    """The model is named all the same."""
    [model] = declared_models(workflow_of({"type": "X", "properties": {"models": [{"name": "x.pt", "url": url}]}}))

    assert model.url is None


@pytest.mark.parametrize(("kind", "digits"), [("SHA256", "ab"), ("AutoV2", "ab" * 32), (None, "ab" * 32), ("md5", 5)])
def test_a_digest_is_checked(kind: object, digits: object) -> None:
    """Its kind must be known and its length right."""
    entry = {"name": "x.pt", "hash": digits, "hash_type": kind}

    [model] = declared_models(workflow_of({"type": "X", "properties": {"models": [entry]}}))

    assert model.digest is None


def test_names_of_models() -> None:
    """By their ending, and only inside of their folder."""
    assert is_model_name("xl/base.SAFETENSORS")
    assert not is_model_name("picture.png")
    assert not is_contained("C:/x.pt")
    assert not is_contained("a//b.pt")


def test_embeddings_in_texts() -> None:
    """Only where a text is encoded; the listing has names with their ending."""
    text = "a cat, embedding:there, (embedding:gone:1.2)"
    prompt = prompt_of(
        n1={"class_type": "CLIPTextEncode", "text": text, "clip": ["1", 0]},
        n2={"class_type": "PaidImage", "prompt": "embedding:other"},
        n3=saved("1"),
    )
    server = FakeServer({"/models/embeddings": ["there.pt"]})

    plan = plan_of(prompt, server, has_key=True)

    assert [(model.place, model.is_there) for model in plan.models] == [
        ("embeddings/there", True),
        ("embeddings/gone", False),
    ]


def test_a_node_of_an_unknown_class_names_its_models() -> None:
    """By its saved values; a file of that name in any folder counts as there."""
    listed = {"name": "b.gguf", "url": URL, "directory": "unet_gguf"}
    node = {"type": "Gone", "widgets_values": ["a.gguf", "b.gguf", "text"], "properties": {"models": [listed]}}
    prompt: dict[str, Any] = {"1": {"class_type": None, "inputs": {}}}
    answers = {"/models": ["loras", "unet_gguf", "configs"], "/models/loras": ["a.gguf"], "/models/unet_gguf": []}

    plan = plan_of(workflow_of(node), FakeServer(answers, prompt))

    assert [(model.place, model.inputs, model.is_there) for model in plan.models] == [
        ("loras/a.gguf", ("1",), True),
        ("unet_gguf/b.gguf", ("1",), False),
    ]


def test_a_list_that_the_frontend_fetches_does_not_decide() -> None:
    """The folder's listing does."""
    prompt = prompt_of(n1={"class_type": "OddLoader", "file": "there.gguf"}, n2=saved("1"))

    [model] = plan_of(prompt).models

    assert (model.is_there, model.folder) == (True, "")


def test_models_beside_missing_nodes_in_a_subgraph() -> None:
    """The frontend gives the widgets after a missing node each other's values: those of the nodes themselves count."""
    listed = {"name": "a.safetensors", "directory": "checkpoints", "url": f"{HOST}/a"}
    nodes = [
        {"id": 1, "type": "Gone", "mode": 0},
        {"id": 2, **loader("a.safetensors", models=[listed])},
        {"id": 3, "type": "KSampler", "widgets_values": [20, 8.0, "euler"]},
        {"id": 4, **loader("unused.safetensors")},
    ]
    workflow = workflow_of({"type": "sub"}, {"type": "KSampler", "widgets_values": [500, 8.0, "euler"]})
    workflow["definitions"] = {"subgraphs": [{"id": "sub", "name": "S", "nodes": nodes, "links": []}]}
    prompt = {
        "1:1": {"class_type": None, "inputs": {}},
        "1:2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "euler"}},
        "1:3": {"class_type": "KSampler", "inputs": {"steps": "a.safetensors", "cfg": 20, "sampler_name": 8.0}},
        "1:4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "unused.safetensors"}},
        "2": {"class_type": "KSampler", "inputs": {"steps": 500, "cfg": 8.0, "sampler_name": "euler"}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["1:2", 0], "b": ["1:3", 0], "c": ["2", 0]}},
    }

    plan = plan_of(workflow, FakeServer(prompt=prompt))
    (need,) = plan.missing_models
    given = plan_of(workflow, FakeServer(prompt=prompt), values={"1:2.ckpt_name": "mine.safetensors"})

    assert (need.place, need.url, need.inputs) == ("checkpoints/a.safetensors", f"{HOST}/a", ("1:2.ckpt_name",))
    assert [each.input for each in plan.values] == ["2.steps"]
    assert any("node 1 have" in text for text in plan.unknown)
    assert [each.name for each in given.missing_models] == ["mine.safetensors"]
