"""``discomfort sweep`` with a fake workflow function: values, output, failures, going on after Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cli
from cli.fakes_cli import prompt, write
from unit.sweeps.fake_function import FakeFunction, picture

from discomfort.cli.grid_values import grid_values, read_grid
from discomfort.cli.inputs import UsageError
from discomfort.exceptions import RunError
from discomfort.workflow.interface.declarations import Parameter
from discomfort.workflow.interface.parameters import Interface


@dataclass
class LoadingConnector:
    """A connector that has one function, whatever is loaded."""

    function: FakeFunction = field(default_factory=FakeFunction)
    engine: str = "emulator"
    server_address: str = "http://127.0.0.1:1"
    loaded: list[Any] = field(default_factory=list)

    async def load(self, payload: Any) -> FakeFunction:
        """The function."""
        self.loaded.append(payload)
        return self.function

    async def kill_api(self) -> None:
        """Nothing."""

    def release_now(self) -> None:
        """Nothing."""


@pytest.fixture
def function(cli: Cli, tmp_path: Path) -> FakeFunction:
    """The function that the command loads."""
    made = LoadingConnector()
    cli.connector = made  # type: ignore[assignment]
    write(tmp_path / "wf.json", prompt("Save", seed=1))
    return made.function


def test_grid_and_table(cli: Cli, function: FakeFunction, tmp_path: Path) -> None:
    """Rows and values multiply; the paths are on stdout, and the second time nothing runs."""
    (tmp_path / "rows.csv").write_text("name,text\na,x\nb,y\n")
    words = ["sweep", "wf.json", "--table", "rows.csv", "--grid", "seed=0..1", "-o", "out", "--timeout", "7"]

    assert cli(*words) == 0, cli.err

    assert sorted(call["seed"] for call in function.calls) == [0, 0, 1, 1]
    assert len(cli.out.splitlines()) == 4
    assert all(Path(line).is_file() for line in cli.out.splitlines())
    assert "4 rows into out\n" in cli.err
    assert ": 4 done\n" in cli.err
    assert f"see out/results.csv and out{os.sep}contact_sheet.jpg" in cli.err

    assert cli(*words) == 0
    assert len(function.calls) == 4
    assert len(cli.out.splitlines()) == 4
    assert ": 4 there already\n" in cli.err


def test_json_and_failures(cli: Cli, function: FakeFunction) -> None:
    """One line for each row; a failed one is told, and the exit code is 1."""

    async def fail(values: Mapping[str, Any]) -> None:
        if values["seed"] == 1:
            raise RunError("no luck")

    function.before = fail
    assert cli("sweep", "wf.json", "--grid", "seed=0,1,2", "--json", "--no-contact-sheet", "--parallel", "1") == 1

    lines = [json.loads(line) for line in cli.out.splitlines()]
    assert [(line["values"]["seed"], line["status"]) for line in lines] == [(0, "done"), (1, "failed"), (2, "done")]
    assert "error: row 2 (seed=1): no luck\n" in cli.err
    assert ": 2 done, 1 failed\n" in cli.err
    assert not Path("sweep/contact_sheet.jpg").exists()


def test_fail_fast(cli: Cli, function: FakeFunction) -> None:
    """All values are checked before the first row."""
    assert cli("sweep", "wf.json", "--grid", "seed=1,-1", "--fail-fast") == 2
    assert "row 2: seed: takes 0 or more" in cli.err
    assert function.calls == []


def test_ctrl_c_and_on(cli: Cli, function: FakeFunction) -> None:
    """What is done stays, and the message says how to go on."""

    async def stop(values: Mapping[str, Any]) -> None:
        if values["seed"] == 2:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()

    function.before = stop
    assert cli("sweep", "wf.json", "--grid", "seed=0..4", "--parallel", "1", "-o", "out") == 1
    assert "interrupted by SIGINT; everything was shut down; 2 of 5 rows are done: the same command" in cli.err

    function.before = None
    assert cli("sweep", "wf.json", "--grid", "seed=0..4", "-o", "out") == 0
    assert "3 done, 2 there already" in cli.err
    assert len(list(Path("out").glob("*.png"))) == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--grid", "sed=1"], "the workflow has no input 'sed'"),
        (["--grid", "seed"], "expected NAME=VALUE"),
        (["--grid", "seed=1", "--grid", "seed=2"], "--grid seed: given twice"),
        (["--grid", "seed=1..2..0"], "--grid seed: the step of 1..2..0 must be more than 0"),
        (["--grid", "photo=no*.png"], "--grid photo: no file matches 'no*.png'"),
        (["--table", "none.csv"], "none.csv: No such file"),
        (["--parallel", "0"], "--parallel 0: must be at least 1"),
    ],
)
def test_wrong_commands(cli: Cli, function: FakeFunction, words: list[str], told: str) -> None:
    """Exit code 2, and what is wrong by name."""
    assert cli("sweep", "wf.json", *words) == 2
    assert told in cli.err


def test_workflow_that_is_none(cli: Cli, function: FakeFunction) -> None:
    """No server is started for it."""
    assert cli("sweep", "none.json", "--grid", "seed=1") == 2
    assert cli.opened == []


def as_given(kind: str, **more: Any) -> Callable[[str], list[Any]]:
    """Reads a text as the values of an input of this type."""
    interface = Interface(inputs={"x": Parameter(name="x", type=kind, source="app", **more)})
    return lambda text: grid_values(read_grid([f"x={text}"]), interface)["x"]


def test_values_by_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas divide numbers and choices, and not texts; a string of JSON is one value; patterns are files."""
    assert as_given("INT")("0..2,7") == [0, 1, 2, 7]
    assert as_given("FLOAT")("5|6..7..0.5") == [5, 6.0, 6.5, 7.0]
    assert as_given("BOOLEAN")("true,false") == [True, False]
    assert as_given("STRING")("a, b|{c|d}|5") == ["a, b", "{c|d}", "5"]
    assert as_given("STRING")('"a|b"') == ["a|b"]
    assert as_given("COMBO", choices=("a,b", "1", "c"))("a,b") == ["a,b"]
    assert as_given("COMBO", choices=("a,b", "1", "c"))("1,c") == ["1", "c"]
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "c.txt"):
        Path(name).write_bytes(picture(1))
    assert as_given("IMAGE", upload="image")("*.png|server.png") == ["a.png", "b.png", "server.png"]
    assert grid_values({"A.b": "1,2"}, Interface())["A.b"] == [1, 2]
    with pytest.raises(UsageError, match="more than 100000"):
        as_given("INT")("0..60000,0..60000")
