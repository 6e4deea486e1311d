"""Drafts of sidecars: read back, they give the interface that they were made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from example_count import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.workflow.interface.parameters import Interface
from discomfort.workflow.interface.sidecar_draft import sidecar_draft, yaml_text
from discomfort.workflow.interface.sidecar_text import parse_sidecar
from discomfort.workflow.interface.sources import interface_of

DEFINITIONS: dict[str, Any] = {
    "KSampler": {
        "input": {
            "required": {
                "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
                "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}],
                "sampler_name": [["euler", "heun"], {}],
                "latent_image": ["LATENT"],
            }
        },
        "output": ["LATENT"],
        "output_name": ["LATENT"],
        "output_node": False,
        "python_module": "nodes",
    },
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "x"}]}},
        "output": [],
        "output_name": [],
        "output_node": True,
        "python_module": "nodes",
    },
}
PROMPT: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 7, "cfg": 5.5, "sampler_name": "heun", "latent_image": ["4", 0]},
        "_meta": {"title": 'First: "pass" # 1'},
    },
    "4": {
        "class_type": "KSampler",
        "inputs": {"seed": 8, "cfg": 6, "sampler_name": "euler", "latent_image": ["3", 0]},
        "_meta": {"title": "Second"},
    },
    "9": {
        "class_type": "SaveImage",
        "inputs": {"images": ["4", 0], "filename_prefix": "p"},
        "_meta": {"title": "Save Image"},
    },
}
SIDECAR: dict[str, Any] = {
    "inputs": {
        "seed": {"targets": ["3.seed", "4.seed"], "description": "Of both"},
        "strength": {"target": "Second.cfg", "minimum": 1, "maximum": 9, "label": "How: much # really"},
        "no": {"target": "4.sampler_name", "hidden": True},
        "prefix": {"target": "9.filename_prefix", "required": True, "label": "x\n\ud83d"},
    },
    "outputs": {"picture": {"node": "9", "description": "The: end"}},
}


def draft_of(interface: Interface) -> str:
    return sidecar_draft(interface, PROMPT, DEFINITIONS, "upscale.json")


def read_back(text: str) -> Interface:
    return interface_of(PROMPT, DEFINITIONS, sidecar=parse_sidecar(text, ".yaml"))


def test_a_draft_gives_the_same_interface() -> None:
    """Names, targets, bounds, texts and what is hidden; by titles where they are clear."""
    made = interface_of(PROMPT, DEFINITIONS, sidecar=SIDECAR)
    assert made.problems == ()
    text = draft_of(made)

    assert read_back(text) == made
    assert '    targets: ["First: \\"pass\\" # 1.seed", "Second.seed"]\n' in text
    assert '    node: "Save Image"\n' in text
    assert '  "no":  # euler|heun = euler\n' in text
    assert "sampler_name" in text
    assert "choices:" not in text


def test_candidates_of_a_workflow_that_declares_nothing() -> None:
    """They are comments; without the marks each is an input with its own name."""
    made = interface_of(PROMPT, DEFINITIONS)
    text = draft_of(made)
    assert read_back(text).inputs == {}

    lines = [line for line in text.splitlines() if line.startswith("  # ") and "target:" in line]
    whole = "inputs:\n" + "".join(f"  {line.removeprefix('  # ')}\n" for line in lines)
    inputs = read_back(whole)
    assert inputs.problems == ()
    targets = [str(each.targets[0]) for each in inputs.inputs.values()]
    assert targets == ["3.seed", "3.cfg", "3.sampler_name", "4.seed", "4.cfg", "4.sampler_name", "9.filename_prefix"]
    assert list(inputs.inputs)[:4] == ["seed", "cfg", "sampler_name", "second_seed"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=examples(100), deadline=None)
@given(_VALUES)
def test_every_value_is_read_back(value: Any) -> None:
    """Whatever is in a text: quotes, colons, marks, line breaks, and characters that YAML does not take."""
    assert parse_sidecar(f"inputs: {yaml_text(value)}\n", ".yaml") == {"inputs": value}


@settings(max_examples=examples(60), deadline=None)
@given(st.text(max_size=20), st.text(max_size=20))
def test_texts_are_kept(label: str, description: str) -> None:
    """Label and description come back as they were, and comments never hide a line."""
    made = interface_of(PROMPT, DEFINITIONS, sidecar=SIDECAR)
    changed = replace(made.inputs["seed"], label=label, description=description)
    odd = Interface({**made.inputs, "seed": changed}, made.outputs)
    assert read_back(draft_of(odd)).inputs["seed"] == changed
