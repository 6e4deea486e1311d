"""Writes the reference pages from the docstrings: ``python docs/make_reference.py [DIRECTORY]``.

A test compares the pages in the repository with what this makes, so they cannot get out of date.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import importlib
import inspect
import json
import os
import re
import sys
import textwrap
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PAGES = {
    "connector.md": ("The connector", ["discomfort.connector", "discomfort.sync"]),
    "runs.md": (
        "Runs",
        [
            "discomfort.connector.run_handle",
            "discomfort.connector.run_status",
            "discomfort.connector.run_result",
            "discomfort.history",
            "discomfort.connector.server_queue",
            "discomfort.sync_run",
        ],
    ),
    "discomfort.md": (
        "Discomfort",
        [
            "discomfort.orchestration.orchestrator:Discomfort",
            "discomfort.orchestration.sync_orchestrator",
            "discomfort.orchestration.results",
            "discomfort.workflow.references:Reference",
        ],
    ),
    "pool.md": (
        "The pool",
        [
            "discomfort.pool.pool",
            "discomfort.pool.pool_run",
            "discomfort.pool.pool_result:PoolResult,RunTiming",
            "discomfort.pool.pool_events:Waiting,Assigned,Loading,Stalled",
            "discomfort.pool.pool_status",
            "discomfort.pool.pool_arguments:PoolOptions",
            "discomfort.pool.pool_policy:Policy",
            "discomfort.pool.retry:Retry",
            "discomfort.pool.sync_pool",
            "discomfort.pool.sync_pool_run",
            "discomfort.pool.ray_options:RayOptions",
            "discomfort.pool.shared_pool",
        ],
    ),
    "sweeps.md": (
        "Sweeps",
        [
            "discomfort.sweeps.sweep",
            "discomfort.sweeps.sweep_results",
            "discomfort.sweeps.sync_sweep",
            "discomfort.sweeps.live_table",
        ],
    ),
    "progress.md": ("Progress events", ["discomfort.progress"]),
    "contexts.md": (
        "Contexts",
        [
            "discomfort.context.context",
            "discomfort.context.context_settings:ContextSettings",
            "discomfort.context.trees:NodeList",
            "discomfort.context.file_values:FileValue",
            "discomfort.context.arrays:RawTensor",
        ],
    ),
    "outputs.md": ("Outputs", ["discomfort.client.outputs", "discomfort.client.artifact:Artifact"]),
    "workflows.md": (
        "Workflows and prompts",
        [
            "discomfort.workflow.edit",
            "discomfort.workflow.detect",
            "discomfort.workflow.preflight",
            "discomfort.conversion.explanation:NodeFate,Explanation",
        ],
    ),
    "functions.md": (
        "Workflows as functions",
        [
            "discomfort.functions.workflow_function:WorkflowFunction,CallRun",
            "discomfort.functions.call_result:CallResult",
            "discomfort.functions.typed_outputs",
            "discomfort.workflow.interface.parameters:Interface",
            "discomfort.workflow.interface.declarations",
            "discomfort.functions.input_types",
            "discomfort.functions.sync_function",
            "discomfort.functions.sync_typed_outputs",
            "discomfort.functions.input_form:InputForm",
        ],
    ),
    "plans.md": ("Plans", ["discomfort.planning.workflow_plan:WorkflowPlan", "discomfort.planning.needs"]),
    "provision.md": (
        "Provision",
        [
            "discomfort.provision.proposal:Proposal,ModelOffer,PackOffer,Obstacle",
            "discomfort.provision.provide_report:ProvideReport,ProvidedItem",
            "discomfort.provision.provide_progress:ProvideProgress",
        ],
    ),
    "workflow-tools.md": ("Workflow tools", ["discomfort.workflow_tools"]),
    "nodes.md": (
        "Nodes",
        [
            "discomfort.nodes.port_node",
            "discomfort.nodes.runner_node:DiscomfortTestRunner",
            "discomfort.nodes.context_loader",
            "discomfort.nodes.context_saver",
        ],
    ),
    "configuration.md": ("Configuration", ["discomfort.config", "discomfort.connector.states:State,Transition"]),
    "errors.md": ("Errors", ["discomfort.exceptions"]),
    "versions.md": ("Versions of ComfyUI", ["discomfort.server_features:ServerFeatures"]),
    "conformance.md": ("Conformance", ["comfyui_conformance"]),
    "testing.md": (
        "Testing",
        [
            "discomfort.testing",
            "discomfort.testing.servers",
            "discomfort.testing.emulated",
            "discomfort.testing.bridge",
        ],
    ),
    "emulator.md": (
        "The emulator",
        [
            "comfyui_emulator",
            "comfyui_emulator.settings",
            "comfyui_emulator.http.app",
            "comfyui_emulator.runtime",
            "comfyui_emulator.faults",
            "comfyui_emulator.left_out",
        ],
    ),
}
"""The modules of each page; names after a colon are the only ones of that module that are described."""
EXAMPLES: dict[str, object] = {
    "api_command_line": "python3 main.py --cpu",
    "api_working_directory": "/opt/ComfyUI",
    "server_arguments": "--cpu --lowvram",
    "environment": {"CUDA_VISIBLE_DEVICES": "1"},
    "api_url": "0.0.0.0",  # noqa: S104 - shown, not bound
    "initial_port": 8288,
    "test_payload_file": "self_test.json",
    "max_comfy_start_attempts": 12,
    "comfy_start_attempts_sleep": 2.0,
    "start_timeout": 600,
    "stop_grace": 5,
    "comfyui_path": "/opt/ComfyUI",
    "engine": "emulator",
    "browser": "lazy",
    "chromium_path": "/usr/bin/chromium",
    "prompt_cache": "/var/cache/prompts",
    "native_conversion": "off",
    "comfyui_python": "/opt/ComfyUI/venv/bin/python",
    "emulator_directory": "./emulator",
    "on_server_death": "restart",
    "max_restarts": 5,
    "cancel_restart_after": 30,
    "on_out_of_memory": "retry_once",
    "warm_nodes": 1000,
    "exact": True,
    "token": "a-secret-of-16-or-more",
    "allow_paid": True,
    "api_key": "comfyui-0123456789",
}
"""A value of each setting, as a configuration file has it."""
_OURS = ("discomfort", "comfyui_")
"""A class may have members that its library put there, which nobody who reads these pages needs."""
_BAR = "\\|"
_LITERAL = re.compile(r"^(.*)::\n\n((?:(?: .*)?\n)+)", re.MULTILINE)
_RULE = r"=+(?: +=+)+\n"
_GRID = re.compile(rf"^({_RULE})(.+\n){_RULE}((?:.+\n)+?){_RULE}", re.MULTILINE)
_SECTION = re.compile(r"^(Attributes|Args|Raises):\n((?:    .*\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\S[^:\n]*): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_MEMBER = re.compile(r"^    (\w+) = (\S+) +# (.+)$", re.MULTILINE)
_TYPE = re.compile(r" ?(?:<list\[\w+\]>|\.\.\.)")
_BRACKETS = re.compile(r"[<\[](\w+(?:\|\w+)+)[>\]]")
_ROLE = re.compile(r":(?:class|meth|data|attr|func|exc|mod):`~?([^`]+)`")


def page(title: str, modules: list[str]) -> str:
    """One page: each module's docstring, then its public classes and functions in the order of the source."""
    parts = [f"# {title}\n", "Made from the docstrings by `docs/make_reference.py`.\n"]
    for entry in modules:
        name, _, chosen = entry.partition(":")
        module = importlib.import_module(name)
        parts.append(f"## `{name}`\n\n{text(module)}\n")
        if name == "discomfort.config":
            parts.append(settings_table())
        if name == "discomfort.server_features":
            parts.append(facts_table())
        if name == "comfyui_emulator.left_out":
            parts.append(nodes_table())
        for label, thing in members(module):
            if not chosen or label in chosen.split(","):
                parts.append(describe(label, thing))
    return "\n".join(parts).rstrip() + "\n"


def settings_table() -> str:
    """Each key with its default and an example, as a configuration file has them."""
    from discomfort.config import Settings

    lines = ["| key | default | example |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = f"`{json.dumps(default)}`" if default not in (None, (), {}) else "not set"
        lines.append(f"| `{name.upper()}` | {shown} | `{json.dumps(EXAMPLES[name])}` |")
    return "\n".join(lines) + "\n"


def facts_table() -> str:
    """Each fact that depends on the version of ComfyUI, with its release."""
    from discomfort.server_features import FACTS

    lines = ["| fact | since | what | seen by |", "|---|---|---|---|"]
    lines += [f"| `{each.name}` | {'.'.join(map(str, each.since))} | {each.what} | {each.seen} |" for each in FACTS]
    return "\n".join(lines) + "\n"


def nodes_table() -> str:
    """How many nodes the emulator executes, and those that it leaves out."""
    from comfyui_emulator.left_out import LEFT_OUT
    from comfyui_emulator.nodes import register_all
    from comfyui_emulator.registry import Registry

    registry = Registry()
    register_all(registry)
    count = sum(node.cls is not None for node in registry.values())
    lines = [f"The emulator executes {count} nodes. It leaves out:\n", "| node | why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


def members(module: ModuleType) -> list[tuple[str, object]]:
    """Public classes and functions: those of ``__all__``, else those defined in the module itself."""
    names = getattr(module, "__all__", None)
    found = []
    for name, thing in vars(module).items():
        if name.startswith("_") or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if name in names if names is not None else thing.__module__ == module.__name__:
            found.append((name, thing))
    return sorted(found, key=lambda pair: (pair[1].__module__, inspect.getsourcelines(pair[1])[1]))


def describe(name: str, thing: object) -> str:
    """A class with its public methods and properties, or a function."""
    if not inspect.isclass(thing):
        return f"### `{name}{signature(thing)}`\n\n{text(thing)}\n"
    bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
    parts = [f"### class `{name}{f'({bases})' if bases else ''}`\n\n{text(thing)}\n", *fields(thing)]
    for member, value in vars(thing).items():
        if member.startswith("_") or (inspect.isfunction(value) and not value.__module__.startswith(_OURS)):
            continue
        if isinstance(value, property):
            parts.append(f"#### `{name}.{member}`\n\n{text(value)}\n")
        elif isinstance(value, (classmethod, staticmethod)) or inspect.isfunction(value):
            function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            kind = "await " if inspect.iscoroutinefunction(function) else ""
            parts.append(f"#### `{kind}{name}.{member}{signature(function)}`\n\n{text(function)}\n")
    return "\n".join(parts)


def fields(thing: type) -> list[str]:
    """The values that an instance has, with their types and defaults: of a dataclass, an error or an enumeration."""
    if issubclass(thing, enum.Enum):
        rows = _MEMBER.findall(inspect.getsource(thing))
        return as_table(["value", "meaning"], [(f"`{value}`".replace('"', ""), meaning) for _, value, meaning in rows])
    if dataclasses.is_dataclass(thing):
        shared = [name for name, kind in inspect.get_annotations(thing).items() if kind == "ClassVar[str]"]
        found = [(name, "str", f"`{vars(thing)[name]!r}`") for name in shared if vars(thing)[name]]
        found += [(f.name, str(f.type), default(f)) for f in dataclasses.fields(thing) if not f.name.startswith("_")]
        lines = [(f"`{name}`", f"`{kind}`", value) for name, kind, value in found]
        return as_table(["field", "type", "default"], lines)
    if issubclass(thing, Exception) and "__init__" in vars(thing):
        rows = [(f"`{name}`", f"`{kind}`" if kind else "") for name, kind in assigned(thing)]
        ours = [base for base in thing.__bases__ if "__init__" in vars(base) and base.__module__.startswith(_OURS)]
        more = [f"It also has the fields of `{base.__name__}`.\n" for base in ours if not base.__name__.startswith("_")]
        return [*as_table(["field", "type"], rows), *more]
    return []


def default(field: dataclasses.Field[Any]) -> str:
    """A field's default as the source would write it; nothing if a value must be given."""
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is dataclasses.MISSING:
        return ""
    made = field.default_factory()
    return f"`{made!r}`" if isinstance(made, dict | list | tuple | str) else f"`{type(made).__name__}()`"


def assigned(error: type) -> list[tuple[str, str]]:
    """The fields that an error's ``__init__`` sets, each with the type of the parameter of that name, if any."""
    init: Any = ast.parse(textwrap.dedent(inspect.getsource(vars(error)["__init__"]))).body[0]
    arguments = [*init.args.args, *init.args.kwonlyargs]
    kinds = {each.arg: ast.unparse(each.annotation) for each in arguments if each.annotation is not None}
    found: dict[str, str] = {}
    for statement in ast.walk(init):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
        for target in (each for one in targets for each in (one.elts if isinstance(one, ast.Tuple) else [one])):
            if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
                found.setdefault(target.attr, kinds.get(target.attr, ""))
    return list(found.items())


def as_table(head: list[str], rows: list[tuple[str, ...]]) -> list[str]:
    """A table in Markdown, without a column in which nothing stands; nothing for no rows."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [[head[i] for i in kept], ["---"] * len(kept), *([row[i].replace("|", _BAR) for i in kept] for row in rows)]
    return ["".join(f"| {' | '.join(cells)} |\n" for cells in lines)] if rows else []


def signature(thing: object) -> str:
    """The call's form, without ``self``; annotations as they are written."""
    try:
        found = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "()"
    kept = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    return str(found.replace(parameters=kept)).replace("'", "")


def text(thing: object) -> str:
    """The docstring as Markdown: code blocks with fences, tables with bars, cross-reference roles reduced to code."""
    found = (inspect.getdoc(thing) or "") + "\n"
    found = _SECTION.sub(lambda section: _listed(section, thing), found)
    found = _LITERAL.sub(_fenced, _GRID.sub(_barred, found))
    return re.sub(r"(?<!`)``(?!`)", "`", _ROLE.sub(r"`\1`", found)).strip()


def _listed(section: re.Match[str], thing: object) -> str:
    """A section of a docstring as a list; the attributes of settings as a table with their defaults."""
    entries = [(name, " ".join(meaning.split())) for name, meaning in _ENTRY.findall(section[2])]
    known: Any = getattr(thing, "model_fields", {})
    if section[1] != "Attributes" or not known:
        return f"{section[1]}:\n\n" + "".join(f"- `{name}`: {meaning}\n" for name, meaning in entries)
    rows = []
    for names, meaning in entries:
        each = names.split(", ")
        values = [known[name].get_default(call_default_factory=True) if name in known else None for name in each]
        defaults = "" if values == [None] * len(values) else ", ".join(f"`{value}`" for value in values)
        rows.append((", ".join(f"`{name}`" for name in each), defaults, meaning))
    return as_table(["setting", "default", "meaning"], rows)[0]


def _fenced(block: re.Match[str]) -> str:
    """A literal block; Python where it can be parsed."""
    code = textwrap.dedent(block[2]).strip()
    try:
        compile(code, "", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        opening = "<!-- not run: an excerpt -->\n```python"
    except SyntaxError:
        opening = "```text"
    return f"{block[1]}:\n\n{opening}\n{code}\n```\n\n" if block[1] else f"{opening}\n{code}\n```\n\n"


def _barred(table: re.Match[str]) -> str:
    """A table of columns; the last one of a line may be longer than its rule."""
    starts = [column.start() for column in re.finditer("=+", table[1])]
    ends = [*starts[1:], None]
    rows = [
        [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        for line in (table[2] + table[3]).splitlines()
    ]
    rows.insert(1, ["---"] * len(starts))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cli_page() -> str:
    """The page of the command line, from its parsers: one section per command, its options and examples."""
    import typer.main

    from comfyui_emulator.flags import parser
    from discomfort.cli.app import build_app

    # Help as it is read elsewhere than on a terminal, wherever this runs.
    with unittest.mock.patch.dict(os.environ, {"NO_COLOR": "1"}):
        app: Any = typer.main.get_command(build_app())
    parts = ["# Command line\n", "Made from the parsers by `docs/make_reference.py`.\n"]
    parts += [f"{app.help}\n", *table(app), *epilog(app.epilog)]
    for name, command in commands_of(app):
        parts.append(f"## `discomfort {name}`\n\n{command.help}\n")
        if name == "serve":
            parts += argument_table(parser())
        else:
            parts += [*table(command), *epilog(command.epilog.partition("\b\nEnvironment:")[0])]
    return "\n".join(parts).rstrip() + "\n"


def commands_of(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """The commands with their names, also those below others."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def table(command: Any) -> list[str]:
    """A command's arguments and options, as its help has them."""
    context = command.make_context("discomfort", [], resilient_parsing=True)
    records = [record for param in command.params if (record := param.get_help_record(context))]
    # How arguments and choices are bracketed differs between releases of typer.
    rows = [(_BRACKETS.sub(r"\1", _TYPE.sub("", names)), text.replace("  [", " [")) for names, text in records]
    return rows_as_markdown(rows)


def argument_table(parser: argparse.ArgumentParser) -> list[str]:
    """The options of an argparse parser; those of a group that has no help of its own are listed after the table."""
    rows, rest = [], []
    for group in parser._action_groups:
        for action in group._group_actions:
            names = ", ".join(action.option_strings)
            if group.title == "options":
                rows.append((f"{names} {_value(action)}".strip(), action.help or "as in ComfyUI"))
            else:
                rest.append((group.title, f"`{names}`"))
    titles = dict.fromkeys(title for title, _ in rest)
    lists = [
        f"{str(title).capitalize()}: {', '.join(name for own, name in rest if own == title)}.\n" for title in titles
    ]
    return [*rows_as_markdown(rows), *lists]


def _value(action: argparse.Action) -> str:
    """What stands behind an option."""
    if action.nargs == 0:
        return ""
    name = action.metavar or action.dest.upper()
    text = name if isinstance(name, str) else " ".join(name)
    return f"[{text}]" if action.nargs in ("?", "*") else text


def rows_as_markdown(rows: list[tuple[str, str]]) -> list[str]:
    """Options and their meaning, as a table."""
    lines = [f"| `{name.replace('|', _BAR)}` | {text.replace('|', _BAR)} |" for name, text in rows]
    return ["\n".join(["| option | meaning |", "|---|---|", *lines]) + "\n"]


def epilog(text: str) -> list[str]:
    """Examples, environment and exit codes, as the help has them."""
    return ["```text\n" + text.replace("\b\n", "").strip() + "\n```\n"]


def main(directory: Path) -> None:
    """Write all pages."""
    directory.mkdir(parents=True, exist_ok=True)
    for filename, (title, modules) in PAGES.items():
        (directory / filename).write_text(page(title, modules), encoding="utf-8")
    (directory / "cli.md").write_text(cli_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "reference")
