"""``discomfort ports``: what it lists, and its exit codes. It makes no connector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cli
from cli.fakes_cli import prompt, write
from cli.test_cli_process import in_terminal
from port_workflows import Graph


def sampler(*, is_wrong: bool = False) -> dict[str, Any]:
    """A workflow with a port of each role, and ports with problems."""
    graph = Graph()
    node = graph.add("KSampler", "seed:INT model:MODEL", "IMAGE:IMAGE MODEL:MODEL")
    graph.input("seed", node, tags="number, main")
    graph.output("image", node)
    graph.input("muted", node, 1, mode=2)
    graph.port("lonely")
    if is_wrong:
        graph.output("", node)
        graph.output("image", node, 1)
    return graph.workflow()


def test_each_port_is_a_line(cli: Cli, tmp_path: Path) -> None:
    """Role, id, type and node; nothing is started."""
    assert cli("ports", write(tmp_path / "a.json", sampler())) == 0

    assert cli.out.splitlines() == [
        "input seed INT node 2",
        "output image IMAGE node 3",
        "unconnected lonely ANY node 5",
        "inactive muted MODEL node 4",
    ]
    assert cli.err == ""


def test_problems_are_shown_and_fail(cli: Cli, tmp_path: Path) -> None:
    """With the port that has them; exit code 1."""
    name = write(tmp_path / "a.json", sampler(is_wrong=True))
    assert cli("ports", name, write(tmp_path / "b.json", sampler())) == 1

    lines = [line for line in cli.out.splitlines() if ";" in line]
    shared = "2 OUTPUT ports have this id (nodes 3, 7): rename all but one"
    assert lines == [
        f"{name}: output image MODEL node 7; port 'image': {shared}",
        f"{name}: output (without an id) IMAGE node 6; it has no unique_id: type a name into it",
    ]


def test_json(cli: Cli, tmp_path: Path) -> None:
    """One document, or a list of several; a file that is wrong has its error, and the exit code is 2."""
    name = write(tmp_path / "a.json", sampler())
    assert cli("ports", "--json", name) == 0
    document = json.loads(cli.out)

    assert (document["workflow"], document["error"]) == (name, None)
    assert document["ports"][0] == {
        "unique_id": "seed", "role": "input", "type": "INT", "node_id": "2", "tags": ["number", "main"], "problems": [],
    }  # fmt: skip
    assert cli("ports", "--json", name, write(tmp_path / "p.json", prompt("Text")), str(tmp_path / "none.json")) == 2
    documents = json.loads(cli.out)
    assert [each["error"] is None for each in documents] == [True, False, False]
    assert "is a prompt already" in documents[1]["error"]["message"]


def test_a_port_in_a_group_node(cli: Cli, tmp_path: Path) -> None:
    """Its role cannot be read from the file, and the remedy is named."""
    graph = Graph()
    graph.extra["groupNodes"] = {"pair": {"nodes": [{"type": "KSampler"}, {"type": "DiscomfortPort"}]}}
    graph.add("workflow>pair")
    assert cli("ports", write(tmp_path / "a.json", graph.workflow())) == 1

    assert cli.out.startswith("unknown (without an id) ANY node 1:1; it is in a group node")


def test_a_wrong_structure(cli: Cli, tmp_path: Path) -> None:
    """Exit code 2, as for every file that cannot be used."""
    broken = sampler()
    broken["links"][0][3] = 99
    assert cli("ports", write(tmp_path / "a.json", broken)) == 2
    assert "invalid structure: link 1 names node 99" in cli.err


def test_a_workflow_without_ports(cli: Cli, tmp_path: Path) -> None:
    """A note, and success."""
    graph = Graph()
    graph.add("KSampler")
    assert cli("ports", write(tmp_path / "a.json", graph.workflow())) == 0
    assert (cli.out, "no ports" in cli.err) == ("", True)


@pytest.mark.parametrize("width", [100, 60])
def test_terminal(tmp_path: Path, width: int) -> None:
    """A table where there is room, else lines."""
    code, shown = in_terminal(tmp_path, width, "ports", write(tmp_path / "a.json", sampler(is_wrong=True)))

    assert code == 1
    assert ("Problems" in shown) == (width == 100)
    assert "OUTPUT" in shown
    assert "lonely" in shown
