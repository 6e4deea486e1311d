"""The public names and their signatures, as a list that is read when it changes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import discomfort
from discomfort import ComfyConnector, WorkflowTools, testing

LIST = Path(__file__).with_name("public_api.txt")
DOCUMENTED = (
    "_ensure_initialized", "_validate_resources", "_init_playwright", "_find_available_port", "_start_api",
    "_is_api_running", "_restart_browser", "_attempt_workflow_to_prompt_conversion", "_execute_prompt_and_wait",
    "_test_server", "_ensure_fresh_websocket", "_delete_data", "_sync_cleanup",
)  # fmt: skip
"""Methods of the connector that the specification names, although they begin with an underscore."""
TOOLS = (
    "_delete_passthru_ports", "_discover_context_handlers", "_get_workflow_with_reroutes_removed",
    "_load_pass_by_rules", "_normalize_links", "_prepare_prompt_for_contextual_run", "_prune_workflow_to_output",
)  # fmt: skip
"""The same for the tools."""


def lines() -> Iterator[str]:
    """Every public name, with its signature, one on a line."""
    for module in (discomfort, testing):
        for name in sorted(module.__all__):
            yield from described(f"{module.__name__}.{name}", getattr(module, name))
    for name in DOCUMENTED:
        yield call(f"discomfort.ComfyConnector.{name}", getattr(ComfyConnector, name))
    for name in TOOLS:
        yield call(f"discomfort.WorkflowTools.{name}", getattr(WorkflowTools, name))


def described(path: str, value: object) -> Iterator[str]:
    """A class with its own public members, a function, or the kind of another value."""
    if not inspect.isclass(value):
        yield call(path, value) if inspect.isfunction(value) else f"{path}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__)
    yield f"{path}({bases})"
    for name in sorted({*vars(value), *inspect.get_annotations(value)}):
        if not name.startswith("_"):
            yield member(value, path, name)


def member(owner: type, path: str, name: str) -> str:
    """How an attribute is used: called with a signature, or read."""
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    return call(f"{path}.{name}", found) if inspect.isfunction(found) else f"{path}.{name}"


def call(path: str, function: object) -> str:
    """Parameters and result, as the source has them."""
    assert callable(function)
    return f"{'async ' if inspect.iscoroutinefunction(function) else ''}{path}{inspect.signature(function)}"


def test_names_and_signatures() -> None:
    """Nothing public goes or changes unnoticed. After a change on purpose, delete the list and run this test once."""
    now = "\n".join(lines()) + "\n"
    if not LIST.exists():
        LIST.write_text(now)
        pytest.fail("the list was written anew: read its difference, and run this test again")
    assert now == LIST.read_text()


def test_every_documented_name_is_listed() -> None:
    """The connector's members are in the list, whatever it holds."""
    text = LIST.read_text()
    for name in ("create", "attach", "run_workflow", "upload", "outputs", "kill_api", *DOCUMENTED):
        assert f"discomfort.ComfyConnector.{name}" in text
    assert typing.get_type_hints(ComfyConnector.run_workflow)["return"] is not None
