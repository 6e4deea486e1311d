"""The reach of the editor: ``python benchmarks/editor_reach.py FOLDER… --comfyui PATH [--keep FOLDER] [--sets N]``.

FOLDER is ``templates`` in the package ``comfyui_workflow_templates_json``. Each template is converted once by the real
frontend on a real ComfyUI; with ``--keep`` the prompts are kept for the next time. A settable constant of a prompt is
an input with a constant that the class declares. The table tells how many of them the editor finds in the workflow, on
templates without and with subgraphs, and how often it reads another value than the prompt has. Then come the reasons
for the others. ``--sets N`` also draws N of them, sets each to another value, converts again through the connector, and
compares: only that value, and what depends on it, may differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.variants import changes, other_value
from converted_templates import Json, Template, convert_all, kept_templates

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
        counts = f"{self.templates:>9} {self.constants:>9} {self.reached:>7}"
        return f"{name:<10} {counts} {self.reached / max(1, self.constants):>8.2%} {len(self.differing):>7}"


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


async def check_sets(
    connector: ComfyConnector, templates: list[Template], definitions: Mapping[str, Any], count: int, seed: int
) -> list[str]:
    """Set so many constants, one at a time, and return where anything else is different, or the value is absent."""
    chance, wrong, done = random.Random(seed), list[str](), Counter[str]()
    while done.total() < count:
        template = chance.choice(templates)
        editor = Editor(template.workflow, definitions)
        selectors = editor.selectors()
        if not selectors:
            continue
        selector = chance.choice(selectors)
        present = editor.get(selector)
        value = another(editor, definitions, selector, present)
        try:
            made = await connector.get_prompt_from_workflow(editor.set(selector, value).payload)
        except InputSelectorError as error:
            done["muted or bypassed" if "is muted" in error.problem else "refused"] += 1
            print(f"{template.name} {selector} = {value!r:.60}: {error.problem}", flush=True)
            continue
        except DiscomfortError as error:
            done[f"not converted: {type(error).__name__}"] += 1
            print(f"{template.name} {selector}: {error}", flush=True)
            continue
        found = changes(template.prompt or {}, made)
        done["arrived"] += 1
        if not only(found, value):
            wrong.append(f"{template.name} {selector} = {value!r:.60}: {found!r:.300}")
    print(dict(done))
    return wrong


def only(found: list[tuple[str, Any]], value: Any) -> bool:
    """Whether the value is among the changes of a prompt, and all others depend on it: ``mode.width`` on ``mode``.

    The frontend itself keeps the ``index`` of a ``CustomCombo`` equal to its ``choice``, and a 3D viewer takes its
    pictures anew, into the temporary folder.
    """
    found = [(place, each) for place, each in found if " [temp]" not in json.dumps(each)]
    arrived = [place for place, each in found if json.dumps(each) == json.dumps(value)]
    indexes = [f"{place.removesuffix('choice')}index" for place in arrived if place.endswith(".choice")]
    others = [place for place, _ in found if place not in arrived and place not in indexes]
    return bool(arrived) and all(place.startswith(tuple(f"{each}." for each in arrived)) for place in others)


def another(editor: Editor, definitions: Mapping[str, Any], selector: str, present: Any) -> Any:
    """Another value that the input may take: of a list, the next one."""
    value = other_value(present)
    numbers = [present - 1, present / 2] if isinstance(present, int | float) and not isinstance(present, bool) else []
    for each in (value, *numbers):
        try:
            Editor(editor.payload, definitions).set(selector, each)
        except InputSelectorError as error:
            listed = next((one for one in error.candidates if one != present), None)
            if listed is not None and not numbers:
                return listed
        else:
            return each
    return value


def report(templates: list[Template], definitions: Mapping[str, Any], *, verbose: bool) -> None:
    """Measure and print."""
    plain, nested = Reach(), Reach()
    for template in templates:
        if template.prompt is not None:
            measure(template, definitions, nested if template.has_subgraphs else plain)
    print(f"{'':<10} templates constants reached    share  differ")
    for name, reach in (("plain", plain), ("subgraphs", nested)):
        print(reach.line(name))
        for reason, number in reach.reasons.most_common():
            print(f"{number:>6}  {reason}")
        for line in [*reach.differing, *(reach.missing if verbose else ())]:
            print(f"        {line}")
    for template in templates:
        if template.prompt is None:
            print(f"not converted: {template.name}: {template.problem}")


async def main(options: argparse.Namespace, keep: Path, base: Path) -> int:
    """Convert, measure, and check sets. Returns the exit code. ``base`` is the server's base directory."""
    for name in ("models", "input", "output", "user", "custom_nodes"):
        (base / name).mkdir()
    settings: dict[str, Any] = {"native_conversion": "off", "prompt_cache": "off", "initial_port": options.port}
    arguments = ["--cpu", "--base-directory", str(base)]
    async with await ComfyConnector.launch(
        engine="comfyui", comfyui_path=options.comfyui, server_arguments=arguments, **settings
    ) as connector:
        version = options.comfyui.resolve().name
        definitions = await connector._node_definitions()
        await convert_all(connector, version, options.folders, keep)
        templates = kept_templates(version, options.folders, keep)
        report(templates, definitions, verbose=options.verbose)
        usable = [each for each in templates if each.prompt is not None]
        wrong = await check_sets(connector, usable, definitions, options.sets, options.seed) if options.sets else []
    print(*wrong, sep="\n")
    return bool(wrong)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="of templates")
    add("--comfyui", type=Path, required=True, metavar="PATH", help="a ComfyUI with its virtual environment")
    add("--keep", type=Path, metavar="FOLDER", help="where the prompts are kept")
    add("--sets", type=int, default=0, metavar="N", help="constants to set")
    add("--seed", type=int, default=1, metavar="N", help="of the draw")
    add("--port", type=int, default=20310, help="the first port that is tried")
    add("--verbose", action="store_true", help="list every constant that is not reached")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as own:
        place = given.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        sys.exit(asyncio.run(main(given, place, Path(own))))
