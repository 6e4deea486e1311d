"""``discomfort explain`` with a fake connector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cli
from cli.fakes_cli import prompt, workflow, write
from cli.test_cli_process import in_terminal


def gone() -> dict[str, Any]:
    """A workflow with a node that is kept, a muted one, and a missing one of a pack."""
    made = workflow("Text", "Text", "Gone")
    made["nodes"][1] |= {"mode": 2, "title": "Quiet"}
    made["nodes"][2]["properties"] = {"cnr_id": "gone-pack"}
    return made


def test_each_node_is_a_line(cli: Cli, tmp_path: Path) -> None:
    """In a pipe: node, outcome and reason; the command that installs the missing pack is on stderr too."""
    assert cli("explain", write(tmp_path / "a.json", gone())) == 1

    kept, muted, missing = cli.out.splitlines()
    assert kept == "1 'Text': kept; it is in the prompt"
    assert muted == "2 'Quiet' (Text): muted; switched off in the workflow, so it does not run"
    assert missing.startswith("3 'Gone': missing; the server does not have this node type; it is in the pack")
    assert missing.endswith("'gone-pack': comfy node install gone-pack")
    assert "converted by the browser; 3 nodes: 1 kept, 1 muted, 1 missing" in cli.err
    assert "warning: Install the packs that provide them: comfy node install gone-pack." in cli.err
    assert cli.connector.names() == ["explain", "kill"]


def test_nothing_missing_is_success(cli: Cli, tmp_path: Path) -> None:
    """Exit code 0, and no advice."""
    assert cli("explain", "-q", write(tmp_path / "a.json", workflow("Text"))) == 0

    assert (cli.out, cli.err) == ("1 'Text': kept; it is in the prompt\n", "")


def test_json_is_one_document(cli: Cli, tmp_path: Path) -> None:
    """With path, nodes, command and prompt."""
    name = write(tmp_path / "a.json", gone())

    assert cli("explain", "--json", name) == 1

    document = json.loads(cli.out)
    assert (document["workflow"], document["path"], document["error"]) == (name, "browser", None)
    assert [node["outcome"] for node in document["nodes"]] == ["kept", "muted", "missing"]
    assert document["nodes"][2]["pack"] == "gone-pack"
    assert document["install"] == "comfy node install gone-pack"
    assert document["prompt"]["1"]["class_type"] == "Text"


def test_json_of_several_is_a_list(cli: Cli, tmp_path: Path) -> None:
    """One that cannot be read, or is a prompt already, has its error."""
    write(tmp_path / "a.json", workflow("Text"))
    write(tmp_path / "b.json", prompt("Text"))

    assert cli("explain", "--json", "a.json", "b.json", "missing.json") == 2

    fine, converted, missing = json.loads(cli.out)
    assert fine["error"] is None
    assert converted["error"]["type"] == "UsageError"
    assert missing["error"]["type"] == "FileNotFoundError"
    assert "b.json: is a prompt already" in cli.err


def test_a_prompt_starts_nothing(cli: Cli, tmp_path: Path) -> None:
    """It has no conversion to explain."""
    assert cli("explain", write(tmp_path / "a.json", prompt("Text"))) == 2

    assert cli.opened == []


def test_the_emulator_has_its_own_advice(cli: Cli, tmp_path: Path) -> None:
    """Installing a pack does not help there."""
    cli.connector.engine = "emulator"

    assert cli("explain", write(tmp_path / "a.json", gone())) == 1

    assert "only the core nodes" in cli.err
    assert "Install the packs" not in cli.err


@pytest.mark.parametrize(("width", "header"), [(120, True), (50, False)])
def test_a_terminal_shows_a_table(tmp_path: Path, width: int, header: bool) -> None:
    """Or, where that would not fit, one block for each node."""
    code, text = in_terminal(tmp_path, width, "explain", "-q", write(tmp_path / "a.json", gone()))

    assert code == 1
    assert ("Outcome" in text) is header
    assert "gone-pack" in text
