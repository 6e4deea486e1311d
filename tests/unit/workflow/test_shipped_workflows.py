"""The workflows in ``examples/workflows``, which documented scripts name."""

from __future__ import annotations

import json

import pytest
from port_workflows import problems_of
from script_workflows import SHIPPED, SHIPPED_WORKFLOWS, text_of

from discomfort.workflow_tools import WorkflowTools


def test_no_file_is_missing() -> None:
    """Each has its source in ``tests/script_workflows.py``, and nothing else is there."""
    assert {path.name for path in SHIPPED.iterdir()} == {f"{name}.json" for name in SHIPPED_WORKFLOWS}


@pytest.mark.parametrize("name", SHIPPED_WORKFLOWS)
def test_shipped_workflow(name: str) -> None:
    """The file is that of the source, links and slots agree, and each port has one role."""
    text = (SHIPPED / f"{name}.json").read_text(encoding="utf-8")
    assert text == text_of(SHIPPED_WORKFLOWS[name]())
    workflow = json.loads(text)
    found = WorkflowTools().discover_port_nodes(workflow)
    assert problems_of(workflow) == []
    assert (found["passthrus"], found["duplicates"], found["unnamed"]) == ({}, {}, [])
    assert "ANY" not in {port["type"] for port in (*found["inputs"].values(), *found["outputs"].values())}
