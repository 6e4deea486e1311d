"""What the editor reaches: ``python benchmarks/editor_reach.py --comfyui PATH --templates FOLDER… [--keep FOLDER]``.

FOLDER is ``templates`` in the package ``comfyui_workflow_templates_json``. Each template is converted once by the real
frontend on a real ComfyUI; with ``--keep`` the prompts are kept for the next time. A settable constant of a prompt is an
input with a constant that the class declares. The table tells how many of them the editor finds in the workflow, on
templates without and with subgraphs, and how often it reads another value than the prompt has. Then come the reasons
for the others. ``--sets N`` also draws N of them, sets each to another value, converts again, and compares: only that
value, and what depends on it, may differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converted_templates import Json, Template, converted

from discomfort import ComfyConnector, Editor
from discomfort.exceptions import DiscomfortError, InputSelectorError
from discomfort.workflow.dynamic_inputs import expanded, input_specs
from discomfort.workflow.json_values import is_link
from discomfort.workflow.prompt_ids import prompt_paths


@dataclass
class Reach:
    """Counts over some templates."""

    templates: int = 0
    constants: int = 0
    reached: int = 0
    differing: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """One line of the table."""
        share = self.reached / max(1, self.constants)
        return f"{name:<10} {self.templates:>5} {self.constants:>7} {self.reached:>7} {share:>8.2%} {len(self.differing):>6}"


def constants(prompt: Json, definitions: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Node, input and value of every constant that the node's class declares."""
    for node_id, node in prompt.items():
        specs = expanded(input_specs(definitions.get(node["class_type"])), node["inputs"])
        for name, value in node["inputs"].items():
            if name in specs and not is_link(value):
                yield node_id, name, value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def measure(template: Template, definitions: Mapping[str, Any], reach: Reach) -> None:
    """Add one template's counts."""
    reach.templates += 1
    editor, prompt = Editor(template.workflow, definitions), template.prompt or {}
    own = {made: path for path, made in prompt_paths(template.workflow, prompt).items()}
    for node_id, name, value in constants(prompt, definitions):
        reach.constants += 1
        where = f"{template.name} #{node_id}.{name} ({prompt[node_id]['class_type']})"
        try:
            read = editor.get(f"#{own.get(node_id, node_id)}.{name}")
        except InputSelectorError as error:
            reach.reasons[error.problem] += 1
            reach.missing.append(f"{where}: {error.problem}")
            continue
        reach.reached += 1
        if read != value:
            reach.differing.append(f"{where}: reads {read!r:.60}, the prompt has {value!r:.60}")
