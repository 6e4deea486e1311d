"""What counts as another server, and which prompts depend on its lists of files."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest

from discomfort.conversion.environment import Environment

DEFINITIONS: dict[str, Any] = {
    "Load": {"input": {"required": {"image": [["a.png", "b.png"], {"image_upload": True}], "note": ["STRING", {}]}}},
    "Sampler": {"input": {"required": {"name": [["euler", "heun"], {}], "model": ["MODEL"]}}},
    "New": {"input": {"optional": {"ckpt": ["COMBO", {"options": ["None", "x.safetensors"]}], "k": ["COMBO", {}]}}},
    "Empty": {"input": {"required": {"lora": [[], {}]}}},
    "Odd": {"input": None},
}
PARTS = {"index": b"1", "settings": b"{}"}


def environment(definitions: dict[str, Any] = DEFINITIONS, **parts: bytes) -> Environment:
    """The environment of these definitions."""
    return Environment.of(PARTS | parts, json.dumps(definitions).encode())


def changed(name: str, group: str, field: str, spec: Any) -> dict[str, Any]:
    """The definitions with one input changed."""
    made = copy.deepcopy(DEFINITIONS)
    made[name]["input"][group][field] = spec
    return made


def test_file_inputs_are_found() -> None:
    """Uploads, lists with extensions in both dialects and empty lists are of files; names of samplers are not."""
    assert dict(environment().files) == {
        "Load": frozenset({"image"}),
        "New": frozenset({"ckpt"}),
        "Empty": frozenset({"lora"}),
    }


def test_remote_lists_are_found() -> None:
    """Routes of the server in both dialects, as the gateway names them; addresses elsewhere are none."""
    remote = {"route": "/api/internal/files/output?type=a", "refresh_button": True}
    definitions = {
        "Old": {"input": {"required": {"a": [["x"], {"remote": remote}]}}},
        "New": {"input": {"optional": {"b": ["COMBO", {"remote": {"route": "/pack/list"}}]}}},
        "Far": {"input": {"required": {"c": ["COMBO", {"remote": {"route": "https://example.com/list"}}]}}},
        "Odd": {"input": {"required": {"d": ["COMBO", {"remote": "yes"}], "e": ["COMBO", {"remote": {"route": 1}}]}}},
    }

    assert environment(definitions).remotes == {"internal/files/output", "pack/list"}


@pytest.mark.parametrize(
    ("name", "group", "field", "spec"),
    [
        ("Load", "required", "image", [["a.png", "b.png", "c.png"], {"image_upload": True}]),
        ("New", "optional", "ckpt", ["COMBO", {"options": ["y.safetensors"]}]),
        ("Empty", "required", "lora", [["l.safetensors"], {}]),
    ],
)
def test_new_files_change_only_the_lists(name: str, group: str, field: str, spec: Any) -> None:
    """An upload or a new model leaves the digest, and is seen in the lists."""
    before, after = environment(), environment(changed(name, group, field, spec))

    assert before.digest == after.digest
    assert before.lists != after.lists
    assert before != after


def test_everything_else_changes_the_digest() -> None:
    """Definitions, their order, static choices, options of file inputs, settings, frontend, extensions."""
    others = [
        environment(changed("Sampler", "required", "name", [["euler"], {}])),
        environment(changed("Load", "required", "image", [["a.png", "b.png"], {"image_upload": True, "default": "a"}])),
        environment(dict(reversed(DEFINITIONS.items()))),
        environment(settings=b'{"Comfy.Locale": "fr"}'),
        environment(index=b"2"),
        environment(**{"/extensions/a.js": b"x"}),
        environment(**{"/extensions/a.js": b"y"}),
    ]

    digests = {each.digest for each in others}

    assert len(digests) == len(others)
    assert environment().digest not in digests
    assert environment() == environment()


def test_key_depends_on_workflow_and_environment() -> None:
    """Another text or another environment is another entry; new files are not."""
    more = environment(changed("Empty", "required", "lora", [["l.safetensors"], {}]))

    assert environment().key("a") == more.key("a")
    assert environment().key("a") != environment().key("b")
    assert environment().key("a") != environment(index=b"2").key("a")


@pytest.mark.parametrize(
    ("values", "took"),
    [(["b.png"], False), ({"image": "b.png"}, False), ([], True), (None, True), (["a.png"], True)],
)
def test_values_of_the_workflow_depend_on_no_list(values: Any, took: bool) -> None:
    """A file name that stands in its node came from there; one that does not may be a list's first."""
    workflow = {"nodes": [{"id": 1, "type": "Load", "widgets_values": values}]}
    output = {"1": {"class_type": "Load", "inputs": {"image": "b.png", "note": "x"}}}

    assert environment().depends_on_file_lists(workflow, output) is took


def test_links_and_other_nodes_depend_on_no_list() -> None:
    """A linked file input and classes without file inputs take nothing from lists."""
    workflow: dict[str, Any] = {"nodes": []}
    output = {
        "1": {"class_type": "Load", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "Sampler", "inputs": {"name": "euler"}},
        "3": {"class_type": None, "inputs": {}},
    }

    assert environment().depends_on_file_lists(workflow, output) is False


def test_numbers_are_not_mistaken_for_each_other() -> None:
    """True is not 1."""
    workflow = {"nodes": [{"id": 1, "type": "Load", "widgets_values": [True]}]}
    assert environment().depends_on_file_lists(workflow, {"1": {"class_type": "Load", "inputs": {"image": 1}}})


@pytest.mark.parametrize("body", [b"[]", b"nonsense"])
def test_other_answers_are_no_definitions(body: bytes) -> None:
    """An answer that is not a JSON object is an error."""
    with pytest.raises(ValueError, match=r"JSON|unexpected|literal|expected"):
        Environment.of({}, body)


def test_keys_of_workflows_with_ports() -> None:
    """The page's own definition of ports counts where the server has none; other keys are as ever."""
    without = environment()
    having = environment(DEFINITIONS | {"DiscomfortPort": {"input": None}})
    plain, ports = '{"nodes": [{"type": "Load"}]}', '{"nodes": [{"type": "DiscomfortPort"}]}'

    def usual(known: Environment, text: str) -> str:
        return hashlib.sha256(f"{known.digest}\0{text}".encode()).hexdigest()

    assert without.key(plain) == usual(without, plain)
    assert having.key(ports) == usual(having, ports)
    assert without.key(ports) != usual(without, ports)
