"""Batches of ``discomfort run`` with a fake connector: many runs of one workflow, named, resumed, interrupted."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from cli import fakes_cli
from cli.conftest import Cli
from cli.fakes_cli import prompt, workflow, write
from cli.test_cli_process import in_terminal, rest, start, wait_for

DEFINITIONS = {"Save": {"input": {"required": {"seed": ["INT", {"min": 0, "max": 9}], "text": ["STRING", {}]}}}}


def seeds(cli: Cli) -> list[Any]:
    """The seed of each run, in order."""
    return [call["payload"]["1"]["inputs"]["seed"] for name, call in cli.connector.calls if name == "run"]


def saved(folder: str = "output") -> list[str]:
    """The files there, below their folder."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A prompt that saves one picture, with a seed and a text."""
    return write(tmp_path / "wf.json", prompt("Save", seed=1, text="x"))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor knows the node's inputs and ranges."""
    monkeypatch.setattr(fakes_cli, "DEFINITIONS", DEFINITIONS)


def test_a_range_is_a_run_each(cli: Cli, name: str) -> None:
    """In order, on one connector; the server's names are kept, and nothing is overwritten."""
    assert cli("run", name, "--set", "Save.seed=0..3") == 0

    assert seeds(cli) == [0, 1, 2, 3]
    assert cli.out.splitlines() == [f"output/picture{end}.png" for end in ("", " (2)", " (3)", " (4)")]
    assert "4 runs\n" in cli.err
    assert "run 2 of 4: wf.json Save.seed=1" in cli.err
    assert f"{name} (Save.seed=3): done in" in cli.err
    assert "4 runs: 4 done\n" in cli.err
    assert len(cli.opened) == 1


def test_everything_multiplies(cli: Cli, tmp_path: Path, name: str) -> None:
    """Rows, ranges, lists and repetitions."""
    (tmp_path / "rows.csv").write_text("Save.text\na\nb\n")

    assert cli("run", name, "--csv", "rows.csv", "--set", "Save.seed=1|2", "--repeat", "2") == 0

    assert seeds(cli) == [1, 1, 2, 2, 1, 1, 2, 2]


def test_names_come_from_values(cli: Cli, name: str) -> None:
    """From those of --set, and from those of the workflow itself; folders are made."""
    assert cli("run", name, "--set", "Save.seed=0..1", "--name", "{Save.text}/{workflow}-{1.seed}-{index}") == 0

    assert saved() == ["x/wf-0-1.png", "x/wf-1-2.png"]
    assert cli.out == "output/x/wf-0-1.png\noutput/x/wf-1-2.png\n"


def test_several_files_of_one_run(cli: Cli, tmp_path: Path) -> None:
    """The first has the name, the next ones a number; the first is saved last, since it stands for the whole run."""
    order: list[str] = []
    save = fakes_cli.FakeOutput.save

    async def noted(self: Any, directory: Path, name: str | None = None) -> Path:
        order.append(str(name))
        return await save(self, directory, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fakes_cli.FakeOutput, "save", noted)
        assert cli("run", write(tmp_path / "wf.json", prompt("Save", "Text", "Save")), "--name", "{workflow}") == 0

    assert order == ["wf_2.png", "wf.png"]
    assert cli.out.splitlines() == ["output/wf.png", "hello", "output/wf_2.png"]


def test_runs_that_would_share_a_name(cli: Cli, name: str) -> None:
    """Said before the first run, with both and what helps; also where only the case differs."""
    for values, pattern in (("Save.seed=0..3", "{workflow}"), ("Save.text=a|A", "{Save.text}")):
        assert cli("run", name, "--set", values, "--name", pattern) == 2

        assert "runs 1 and 2 would both be named" in cli.err
        assert "add {index}" in cli.err
        assert "run" not in cli.connector.names()


def test_existing_files_are_skipped(cli: Cli, name: str) -> None:
    """The same command goes on where the last one ended; nothing is done twice."""
    options = ["--name", "{Save.seed}", "--skip-existing", "--set"]
    assert cli("run", name, *options, "Save.seed=0..1") == 0
    assert cli("run", name, *options, "Save.seed=0..3") == 0

    assert seeds(cli) == [0, 1, 2, 3]
    assert "4 runs, 2 of them done already" in cli.err
    assert "4 runs: 2 done, 2 there already" in cli.err
    assert cli.out == "output/2.png\noutput/3.png\n"
    assert saved() == ["0.png", "1.png", "2.png", "3.png"]


def test_nothing_left_to_do_starts_nothing(cli: Cli, name: str) -> None:
    """Where the names are known without the workflow, a finished batch needs no server."""
    options = ["--set", "Save.seed=0..1", "--skip-existing", "--name"]
    for pattern in ("{Save.seed}", "{Save.seed}-{Save.text}"):
        assert cli("run", name, *options, pattern) == 0
    assert len(cli.opened) == 2

    assert cli("run", name, *options, "{Save.seed}") == 0
    assert (len(cli.opened), cli.out) == (2, "")
    assert "2 runs: 2 there already" in cli.err
    assert cli("run", name, *options, "{Save.seed}-{Save.text}", "-q") == 0
    assert len(cli.opened) == 3
    assert len(seeds(cli)) == 4


def test_json_lines(cli: Cli, name: str) -> None:
    """A batch writes one document on each line, as each run ends; skipped ones too."""
    Path("output").mkdir()
    Path("output/0.png").touch()
    options = ["--json", "--name", "{Save.seed}", "--skip-existing", "--set", "Save.seed=0..1"]

    assert cli("run", name, *options) == 0

    skipped, done = map(json.loads, cli.out.splitlines())
    assert (skipped["status"], skipped["index"], skipped["values"]) == ("skipped", 1, {"Save.seed": 0})
    assert (done["status"], done["index"], done["values"]) == ("success", 2, {"Save.seed": 1})
    assert done["outputs"][0]["path"].endswith("output/1.png")


def test_json_of_single_runs_is_one_document(cli: Cli, name: str) -> None:
    """Without a batch nothing changes."""
    assert cli("run", name, "--json", "--set", "Save.seed=5") == 0

    assert json.loads(cli.out)["values"] == {"Save.seed": 5}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "Save.seed=8..12"], "takes a number from 0 to 9, given 10"),
        (["--set", "Save.sede=0..3"], "has no input 'sede'"),
        (["--set", "Sav.seed=0..3"], "there is no node 'Sav'. Candidates: Save.seed"),
        (["--csv", "rows.csv"], "takes a whole number, given the string 'x' (row 4 of --csv)"),
        (["--name", "{Save.sede}"], "has no input 'sede'"),
        (["--set", "Save.seed=0..3", "--name", "{Sav.seed}-{index}"], "there is no node 'Sav'"),
    ],
)
def test_wrong_values_are_said_before_the_first_run(
    cli: Cli, tmp_path: Path, name: str, options: list[str], told: str
) -> None:
    """Also those of the last row; nothing runs, and nothing is saved."""
    (tmp_path / "rows.csv").write_text("Save.seed\n1\n2\nx\n")

    assert cli("run", name, *options) == 2

    assert told in cli.err
    assert "run" not in cli.connector.names()
    assert not Path("output").exists()


@pytest.mark.usefixtures("known")
def test_every_problem_is_said_once(cli: Cli, name: str) -> None:
    """Not one for each combination, and not only the first."""
    assert cli("run", name, "--set", "Save.seed=8..11", "--set", "Save.text=a|b|c") == 2

    assert re.findall(r"given (\d+)", cli.err) == ["10", "11"]


def test_other_workflows_still_run(cli: Cli, tmp_path: Path, name: str) -> None:
    """One that does not have the input is left out; the exit code says so."""
    other = write(tmp_path / "other.json", prompt("Text"))

    assert cli("run", other, name, "--set", "Save.seed=0..1") == 2

    assert seeds(cli) == [0, 1]
    assert "other.json: 'Save.seed': there is no node 'Save'" in cli.err


def test_a_workflow_is_converted_once_for_all_its_runs(cli: Cli, tmp_path: Path) -> None:
    """Where the prompt is edited, the browser works once."""
    made = write(tmp_path / "wf.json", workflow("Text"))

    assert cli("run", made, "--set", "Text.text=a|b|c") == 0

    assert cli.connector.names() == ["convert", "run", "run", "run", "kill"]
    assert cli.out == "a\nb\nc\n"
    assert cli.err.count("set on the converted prompt") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--skip-existing"], "--skip-existing needs --name"),
        (["--name", "{seed}"], "there is no field {seed}"),
        (["--name", "../x"], "below the output folder"),
        (["--repeat", "0"], "at least 1"),
        (["--set", "Save.seed=0..9..0"], "must be more than 0"),
        (["--csv", "none.csv"], "none.csv: No such file"),
    ],
)
def test_usage_errors_start_nothing(cli: Cli, name: str, options: list[str], told: str) -> None:
    """What can be known without a server is said without one."""
    assert cli("run", name, *options) == 2

    assert told in cli.err
    assert cli.opened == []


def test_a_failed_run_does_not_stop_the_batch(cli: Cli, tmp_path: Path) -> None:
    """Each failure names its values."""
    name = write(tmp_path / "wf.json", prompt("Save", "Fail", seed=0))

    assert cli("run", name, "--set", "Save.seed=1|2") == 1

    assert seeds(cli) == [1, 2]
    assert f"{name} (Save.seed=2): node 2 'Fail' raised ValueError: boom" in cli.err
    assert "2 runs: 2 failed" in cli.err


def test_a_full_disk_names_the_folder(cli: Cli, tmp_path: Path) -> None:
    """The system's own error names nothing when a write fails."""
    assert cli("run", write(tmp_path / "wf.json", prompt("Full")), "-o", "results") == 1

    assert "results: No space left on device" in cli.err


@pytest.mark.parametrize("with_name", [False, True])
def test_an_interrupted_batch_says_what_is_done(tmp_path: Path, with_name: bool) -> None:
    """How many runs are done, and, if the names allow it, how to go on; whole files only."""
    name = write(tmp_path / "wf.json", prompt("Save", "SlowAfter", seed=0))
    options = ["--name", "{Save.seed}"] if with_name else []
    with start(tmp_path, "run", name, "--set", "Save.seed=0..59", *options) as process:
        wait_for(process.stderr, "run 3 of 60")
        wait_for(process.stderr, "SlowAfter")
        process.send_signal(signal.SIGINT)
        out, err = rest(process)

    assert process.returncode == 1
    assert len(out.splitlines()) == 2
    assert "everything was shut down; 2 of 60 runs are done" in err
    assert ("the same command with --skip-existing does the rest" in err) is with_name
    assert len(saved(str(tmp_path / "output"))) == 2


def test_json_lines_of_an_interrupted_batch(tmp_path: Path) -> None:
    """Only what was done has a line."""
    name = write(tmp_path / "wf.json", prompt("Text", "SlowAfter", seed=0))
    with start(tmp_path, "run", name, "--json", "--set", "Text.seed=0..59") as process:
        wait_for(process.stderr, "run 3 of 60")
        wait_for(process.stderr, "SlowAfter")
        process.send_signal(signal.SIGINT)
        out, _ = rest(process)

    assert [json.loads(line)["index"] for line in out.splitlines()] == [1, 2]


def test_a_terminal_shows_the_place_in_the_batch(tmp_path: Path) -> None:
    """Which run of how many, and how long the rest takes."""
    name = write(tmp_path / "wf.json", prompt("Steps", seed=0))

    code, text = in_terminal(tmp_path, 120, "run", name, "--set", "Steps.seed=0..2")

    assert code == 0
    assert "run 2/3" in text
    assert "left" in text
