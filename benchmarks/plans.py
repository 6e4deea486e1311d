"""Plans of all official templates: ``python benchmarks/plans.py --comfyui PATH [--templates FOLDER] [--by-widgets]``.

Each template is planned on a ComfyUI without models. Every model that its file lists must be in the plan with folder
and address. Then empty files with all these names are put in place, and everything is planned again: no model and no
input file may be missing. ``--by-widgets`` needs minutes instead of hours. ``--keep FILE`` has one line for each
template that is done, so that a run can be continued.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from discomfort import ComfyConnector
from discomfort.connector.server_view import ServerView
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import ConversionError
from discomfort.planning.planner import Planner, PlanOrder
from discomfort.planning.workflow_plan import WorkflowPlan


def main() -> None:
    """Plan everything and print the table."""
    given = arguments()
    paths = [path for path in sorted(given.templates.glob("*.json")) if is_workflow(path) and given.only in path.name]
    with tempfile.TemporaryDirectory() as base:
        rows = asyncio.run(planned(given, Path(base), paths))
    table(rows)


async def planned(given: Any, base: Path, paths: list[Path]) -> list[dict[str, Any]]:
    """One row for each template, of both rounds."""
    done, keep = read(given.keep), given.keep
    for folder in ("models", "input", "output", "user", "custom_nodes"):
        (base / folder).mkdir()
    async with await ComfyConnector.launch(
        engine="comfyui", comfyui_path=given.comfyui, server_arguments=["--cpu", "--base-directory", str(base)],
        initial_port=18790, browser="lazy",
    ) as connector:  # fmt: skip
        make = Plans(connector, by_widgets=given.by_widgets)
        waiting = [path for path in paths if path.name not in done]
        places: list[tuple[Path, WorkflowPlan]] = []
        for number, path in enumerate(waiting, 1):
            started = time.perf_counter()
            plan = await make.plan(path)
            done[path.name] = first_row(path, plan)
            places.append((path, plan))
            print(f"{number}/{len(waiting)} {path.name}: {time.perf_counter() - started:.1f} s", flush=True)
        for _, plan in places:
            place(plan, base)
        make = Plans(connector, by_widgets=given.by_widgets)
        for path, _ in places:
            done[path.name] |= second_row(await make.plan(path))
            write(keep, done[path.name])
    return [done[path.name] for path in paths]


class Plans:
    """The plans of one round. ``by_widgets``: without a browser, as where a workflow cannot be converted."""

    def __init__(self, connector: ComfyConnector, *, by_widgets: bool) -> None:
        self._connector = connector
        self._view = Unconverted(connector) if by_widgets else None

    async def plan(self, path: Path) -> WorkflowPlan:
        """The plan of one template."""
        if self._view is None:
            return await self._connector.plan(path, api_key="none")
        order = PlanOrder("workflow", content(path), path.name, has_key=True)
        return await Planner(self._view, order).make()


class Unconverted(ServerView):
    """A server that converts nothing, and whose definitions are fetched once for all plans."""

    def __init__(self, connector: ComfyConnector) -> None:
        super().__init__(connector._parts, connector._prompts)
        self._known: dict[str, Any] | None = None

    async def definitions(self) -> dict[str, Any]:
        """As they were at the first plan."""
        if self._known is None:
            self._known = await super().definitions()
        return self._known

    async def explain(self, workflow: dict[str, Any]) -> Explanation:
        """Raises ConversionError."""
        raise ConversionError("this round has no browser")


def first_row(path: Path, plan: WorkflowPlan) -> dict[str, Any]:
    """What the plan says, beside what the file lists."""
    listed = set(listed_models(content(path)))
    named = {(model.name, model.folder, model.url) for model in plan.models}
    return {
        "template": path.name,
        "classes": [kind for pack in plan.packs for kind in pack.class_types],
        "models": len(plan.missing_models),
        "with_url": sum(model.url is not None for model in plan.missing_models),
        "with_digest": sum(model.digest is not None for model in plan.missing_models),
        "without_folder": [model.name for model in plan.missing_models if not model.folder],
        "from": dict(Counter(model.source for model in plan.missing_models if model.source)),
        "listed": len(listed),
        "not_named": sorted(listed - named),
        "there": [model.place for model in plan.models if model.is_there],
        "files": len(plan.files),
        "values": [need.input for need in plan.values],
        "partners": len(plan.partners),
        "problems": list(plan.problems),
        "path": plan.path,
    }


def second_row(plan: WorkflowPlan) -> dict[str, Any]:
    """What is still missing with all files in place."""
    return {
        "false_models": [model.place for model in plan.missing_models],
        "false_files": [need.name for need in plan.files],
        "left": [text for text in plan.lacks if "model" in text or "file" in text],
    }


def place(plan: WorkflowPlan, base: Path) -> None:
    """Empty files with the names of everything that is missing."""
    folders = {space.folder: Path(space.path) for space in plan.spaces}
    names = [folders[model.folder] / model.name for model in plan.missing_models if model.folder in folders]
    names += [base / "input" / need.name for need in plan.files if not need.name.endswith("]")]
    for name in names:
        name.parent.mkdir(parents=True, exist_ok=True)
        name.touch()


def table(rows: list[dict[str, Any]]) -> None:
    """The sums, and every line that should not be there.

    A file may list one model with two addresses; the plan has one of them.
    """
    total = {
        key: sum(row[key] for row in rows)
        for key in ("listed", "models", "with_url", "with_digest", "files", "partners")
    }
    sources = sum((Counter(row["from"]) for row in rows), Counter())
    lines = [
        ("templates", len(rows)),
        ("with missing node types", sum(bool(row["classes"]) for row in rows)),
        ("missing node types", len({kind for row in rows for kind in row["classes"]})),
        ("models that the files list", total["listed"]),
        ("of these not in the plan with folder and URL", sum(len(row["not_named"]) for row in rows)),
        ("models named by inputs", total["models"]),
        ("of these with URL", f"{total['with_url']} ({dict(sources)})"),
        ("of these with digest", total["with_digest"]),
        ("of these without a folder", sum(len(row["without_folder"]) for row in rows)),
        ("input files", total["files"]),
        ("templates with values that the server refuses", sum(bool(row["values"]) for row in rows)),
        ("templates with partner nodes", sum(bool(row["partners"]) for row in rows)),
        ("templates planned by their converted prompt", sum(row["path"] is not None for row in rows)),
        ("models missing although they are there", sum(len(row["false_models"]) for row in rows)),
        ("input files missing although they are there", sum(len(row["false_files"]) for row in rows)),
    ]
    print("\n| what | number |\n|---|---|")
    print("\n".join(f"| {what} | {number} |" for what, number in lines))
    for key in ("not_named", "without_folder", "false_models", "false_files"):
        for row in rows:
            if row[key]:
                print(f"{key}: {row['template']}: {row[key]}")


def listed_models(workflow: Any) -> Iterator[tuple[str, str, str]]:
    """Name, folder and address of each model that a file lists, wherever it is in it."""
    if isinstance(workflow, dict):
        properties = workflow.get("properties")
        for models in (workflow.get("models"), properties.get("models") if isinstance(properties, dict) else None):
            for entry in models if isinstance(models, list) else ():
                if not (isinstance(entry, dict) and "name" in entry):
                    continue  # a value of a node that has the same name
                yield entry["name"], entry["directory"], entry["url"]
        for value in workflow.values():
            yield from listed_models(value)
    elif isinstance(workflow, list):
        for value in workflow:
            yield from listed_models(value)


def is_workflow(path: Path) -> bool:
    """Whether a file of the package is a template, and no index."""
    found = content(path)
    return isinstance(found, dict) and isinstance(found.get("nodes"), list)


def content(path: Path) -> Any:
    """What a file has."""
    return json.loads(path.read_text("utf-8"))


def read(keep: Path | None) -> dict[str, dict[str, Any]]:
    """The rows of an earlier run, by template."""
    if keep is None or not keep.exists():
        return {}
    rows = [json.loads(line) for line in keep.read_text("utf-8").splitlines()]
    return {row["template"]: row for row in rows}


def write(keep: Path | None, row: dict[str, Any]) -> None:
    """Add one row."""
    if keep is not None:
        with keep.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def arguments() -> Any:
    """The command line."""
    found = importlib.util.find_spec("comfyui_workflow_templates_json")
    default = Path(found.origin).parent / "templates" if found is not None and found.origin is not None else None
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comfyui", type=Path, required=True, metavar="PATH", help="the ComfyUI to plan on")
    parser.add_argument("--templates", type=Path, default=default, required=default is None, metavar="FOLDER")
    parser.add_argument("--only", default="", metavar="TEXT", help="templates whose name has TEXT")
    parser.add_argument("--by-widgets", action="store_true", help="without a browser, by the saved widgets alone")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="a line for each template, to continue from")
    return parser.parse_args()


if __name__ == "__main__":
    main()
