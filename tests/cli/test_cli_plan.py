"""``discomfort plan`` and ``--allow-paid`` with a fake connector."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Cli
from cli.fakes_cli import prompt, workflow, write

from discomfort.planning.needs import ModelNeed
from discomfort.planning.workflow_plan import WorkflowPlan

LACKING = WorkflowPlan(models=(ModelNeed(name="a.pt", folder="vae", is_there=False, inputs=("1.vae_name",)),))


def test_what_is_missing_is_failure(cli: Cli, tmp_path: Path) -> None:
    """Exit code 1, and the plan as text with the workflow's name."""
    name = write(tmp_path / "a.json", workflow("Text"))
    cli.connector.plan_made = LACKING

    assert cli("plan", "-q", name, "--set", "Text.steps=5", "--online") == 1

    assert cli.out == f"{name}: not ready, missing: 1 model\n" + str(LACKING).partition("\n")[2] + "\n"
    asked = dict(cli.connector.calls)["plan"]
    assert (asked["values"], asked["online"]) == ({"Text.steps": 5}, True)


def test_nothing_missing_is_success(cli: Cli, tmp_path: Path) -> None:
    """Exit code 0; several workflows have a plan each."""
    names = [write(tmp_path / name, workflow("Text")) for name in ("a.json", "b.json")]

    assert cli("plan", "-q", *names) == 0

    assert cli.out == "".join(f"{name}: ready\n" for name in names)


def test_json_is_one_document(cli: Cli, tmp_path: Path) -> None:
    """A list for several; one that cannot be read has its error."""
    name = write(tmp_path / "a.json", workflow("Text"))
    cli.connector.plan_made = LACKING

    assert cli("plan", "--json", name) == 1

    document = json.loads(cli.out)
    assert (document["workflow"], document["ready"], document["error"]) == (name, False, None)
    assert document["models"][0]["name"] == "a.pt"

    assert cli("plan", "--json", name, str(tmp_path / "gone.json")) == 1
    assert [each["error"] is None for each in json.loads(cli.out)] == [True, False]


def test_a_run_may_spend_only_if_it_is_told(cli: Cli, tmp_path: Path) -> None:
    """Without the option the settings count."""
    name = write(tmp_path / "a.json", prompt("Text"))

    assert cli("run", name) == 0
    assert cli("run", "--allow-paid", name) == 0

    assert cli.connector.allowed[-1] is True
