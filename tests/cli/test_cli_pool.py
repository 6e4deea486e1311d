"""``discomfort run --pool`` and ``discomfort pool status``, on emulators."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Cli
from cli.fakes_cli import write
from cli.test_cli_emulator import NODES, PICTURE, read_until, related, rest, start
from ports import first_port
from rich.console import Console

from discomfort.cli.inputs import UsageError
from discomfort.cli.pool_choice import PoolChoice, read_pool
from discomfort.cli.pool_display import PoolBarDisplay, PoolLineDisplay, RunPlace
from discomfort.cli.pool_table import tables
from discomfort.cli.terminal import Terminal
from discomfort.pool.pool_events import Assigned, Loading, Stalled, Waiting
from discomfort.pool.pool_status import PoolStatus, ServerStatus, TenantStatus
from discomfort.pool.status_socket import ToldPool, described
from discomfort.progress import Done, NodeStarted, Step

FOREVER = {"1": {"class_type": "Forever", "inputs": {"seed": 1}}}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No settings but these: the emulator, private folders for everything."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DISCOMFORT_", "COMFYUI_"))}
    (tmp_path / "tmp").mkdir()
    return kept | {
        "DISCOMFORT_ENGINE": "emulator",
        "DISCOMFORT_INITIAL_PORT": str(first_port(21920)),
        "TMPDIR": str(tmp_path / "tmp"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "HOME": str(tmp_path),
    }


@pytest.fixture
def two_servers(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The addresses of two emulators that somebody else runs."""
    with ExitStack() as stack:
        made: list[subprocess.Popen[str]] = []
        for name in ("one", "two"):
            words = ["serve", "--port", "0", "--base-directory", str(tmp_path / name), "--extra-nodes", str(NODES)]
            made.append(stack.enter_context(start(environment, tmp_path, *words)))
            stack.callback(made[-1].terminate)
        yield ",".join(read_until(each, "To see the GUI go to: ").rpartition(" ")[2].strip() for each in made)


def test_a_batch_on_two_servers(environment: dict[str, str], tmp_path: Path) -> None:
    """Every run has its file and its line, with the server that did it; nothing is left of the servers."""
    name = write(tmp_path / "a.json", PICTURE)
    words = ["run", name, "--pool", "2", "--set", "EmptyImage.width=8..15", "--name", "w{EmptyImage.width}", "--json"]
    with start(environment, tmp_path, *words) as process:
        out, err = rest(process)

    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(1, 9))
    assert {line["status"] for line in lines} == {"success"}
    assert {line["server"] for line in lines} == {"server0", "server1"}
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == sorted(f"w{n}.png" for n in range(8, 16))
    assert "pool: server0, server1" in err
    assert "run 8 of 8: a.json EmptyImage.width=15: on server" in err
    assert f"{name} (EmptyImage.width=15): done in" in err
    assert "8 runs: 8 done" in err
    assert related(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_run_that_fails(environment: dict[str, str], tmp_path: Path, two_servers: str) -> None:
    """The others are done all the same, and the results are in the order of the runs; the exit code is 1."""
    good = write(tmp_path / "good.json", PICTURE)
    late = write(tmp_path / "late.json", FOREVER)
    words = ["run", late, good, "none.json", "--pool", two_servers, "--timeout", "2", "--json"]
    with start({**environment, "DISCOMFORT_ENGINE": ""}, tmp_path, *words) as process:
        out, err = rest(process)

    assert process.returncode == 1, err
    first, second, third = json.loads(out)
    assert (first["status"], first["error"]["type"]) == ("error", "RunTimeout")
    assert (second["status"], [row["kind"] for row in second["outputs"]]) == ("success", ["image"])
    assert third["error"]["type"] == "FileNotFoundError"
    assert "longer than 2 s" in err


def test_ctrl_c_cancels_everything(environment: dict[str, str], tmp_path: Path, two_servers: str) -> None:
    """Both servers are free at once, what waited is not begun, and the exit code is 1."""
    name = write(tmp_path / "a.json", FOREVER)
    words = ["run", name, "--set", "Forever.seed=1..5", "--pool", two_servers, "--output", "kept"]
    with start({**environment, "DISCOMFORT_ENGINE": ""}, tmp_path, *words) as process:
        read_until(process, ": on ")
        read_until(process, ": on ")
        process.send_signal(signal.SIGINT)
        out, err = rest(process)

    assert (process.returncode, out) == (1, "")
    assert "interrupted by SIGINT; everything was shut down; 0 of 5 runs are done" in err
    assert "Traceback" not in err
    # The servers take other runs now.
    quick = write(tmp_path / "b.json", PICTURE)
    words = ["run", quick, "--repeat", "2", "--pool", two_servers, "--timeout", "20", "-q"]
    with start({**environment, "DISCOMFORT_ENGINE": ""}, tmp_path, *words) as process:
        out, err = rest(process)
    assert (process.returncode, len(out.splitlines())) == (0, 2), err


def test_killed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], tmp_path: Path, two_servers: str
) -> None:
    """The pool is seen by other programs while it lives; after kill -9 it is not, and its folder goes."""
    monkeypatch.setattr(tempfile, "tempdir", environment["TMPDIR"])
    name = write(tmp_path / "a.json", FOREVER)
    with start({**environment, "DISCOMFORT_ENGINE": ""}, tmp_path, "run", name, "--pool", two_servers) as process:
        try:
            read_until(process, ": on ")
            assert cli("pool", "status", "--json") == 0
            (pool,) = json.loads(cli.out)
            assert cli("pool", "status") == 0
        finally:
            process.kill()
            rest(process)
    assert pool["pid"] == process.pid
    assert (pool["status"]["running"], len(pool["status"]["servers"])) == (1, 2)
    assert f"process {process.pid}" in cli.out
    assert cli("pool", "status") == 0
    assert (cli.out, cli.err) == ("", "no pool runs on this machine\n")
    assert [path for path in (tmp_path / "tmp").rglob("*") if path.name == "status"] == []


@pytest.mark.parametrize(
    ("texts", "choice"),
    [
        (["4"], PoolChoice(servers=4)),
        (["gpus"], PoolChoice(gpus="all")),
        (["gpu:0,2"], PoolChoice(gpus=(0, 2))),
        (["http://a:8188,http://b:8188"], PoolChoice(urls=("http://a:8188", "http://b:8188"))),
        (["http://a:8188", "b.example:80"], PoolChoice(urls=("http://a:8188", "b.example:80"))),
        ([], None),
    ],
)
def test_choices(texts: list[str], choice: PoolChoice | None) -> None:
    """A number, GPUs, or addresses."""
    assert read_pool(texts) == choice


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["0"], "must be 1 to 1000"),
        (["many"], "expected a number of servers"),
        (["gpu:a"], "not a server's address"),
        (["2", "http://a:8188"], "only URLs can be given several times"),
        (["ftp://a.example"], "not a server's address"),
    ],
)
def test_wrong_choices(texts: list[str], problem: str) -> None:
    """Each is named before anything is started."""
    with pytest.raises(UsageError, match=problem):
        read_pool(texts)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--retry", "1"], "--retry needs --pool"),
        (["--pool", "2", "--retry", "-1"], "--retry -1: must be at least 0"),
        (["--pool", "2", "--attach", "http://a:1"], "give all their URLs to --pool"),
        (["--pool", "http://a:1", "--engine", "emulator"], "a URL of --pool uses a running one"),
        (["--pool", "2", "--header", "A: b"], "--header needs --attach, or URLs for --pool"),
        (["--pool", "2", "--iterations", "2"], "--pool does not go with ports"),
    ],
)
def test_contradictions(cli: Cli, tmp_path: Path, words: list[str], problem: str) -> None:
    """Exit code 2, and nothing is started."""
    name = write(tmp_path / "a.json", PICTURE)
    assert cli("run", name, *words) == 2
    assert problem in cli.err
    assert cli.opened == []


def test_lines_say_where_runs_are(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each server, model, silence, and for a run that waits again, but not for each node."""
    display, place = PoolLineDisplay(Terminal()), RunPlace(2, 8, "a.json seed=1")
    for event in (
        Waiting("r", 3, 1.0, "all are busy"), Assigned("r", "gpu0"), Loading("r", "checkpoints/sdxl", 4.0),
        NodeStarted("p", "1", "KSampler", "KSampler", 1, 2), Stalled("r", "gpu0", 130.4, "no answer"),
        Waiting("r", 0, None, "server gpu0 died"), Waiting("r", 0, None, "server gpu0 died"), Assigned("r", "gpu1"),
        Done("p", success=True),
    ):  # fmt: skip
        display.show(place, event)
    assert capsys.readouterr().err.splitlines() == [
        "run 2 of 8: a.json seed=1: on gpu0",
        "run 2 of 8: a.json seed=1: loads checkpoints/sdxl",
        "run 2 of 8: a.json seed=1: gpu0 has not answered for 130 s: no answer",
        "run 2 of 8: a.json seed=1: waits again: server gpu0 died",
        "run 2 of 8: a.json seed=1: on gpu1",
    ]


def test_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all runs, and one for each that has a server; a closed display shows them again at the next event."""
    terminal = Terminal()
    display = PoolBarDisplay(terminal)
    first, second = RunPlace(1, 2, "a.json"), RunPlace(2, 2, "b.json")

    def shown() -> list[str]:
        return [f"{task.description}|{task.fields['count']}" for task in display._bars.tasks]

    display.phase("starting 2 servers")
    assert shown() == ["starting 2 servers|"]
    display.begin(2)
    display.show(first, Assigned("r", "gpu0"))
    display.show(first, NodeStarted("p", "1", "Sampler", "KSampler", 1, 3))
    display.show(first, Step("p", "1", "Sampler", 4, 20))
    display.show(second, Assigned("s", "gpu1"))
    display.show(second, Loading("s", "checkpoints/sdxl", 4.0))
    assert shown() == ["runs|0/2", "gpu0: a.json: Sampler|step 4/20", "gpu1: b.json: loads checkpoints/sdxl|"]
    display.close()
    display.show(second, Waiting("s", 0, None, "server gpu1 died"))
    display.show(first, Done("p", success=True))
    display.ended(first)
    assert shown() == ["runs|1/2"]
    display.close()


def _server(**more: Any) -> ServerStatus:
    facts: dict[str, Any] = {
        "name": "gpu0", "state": "ready", "reason": "", "url": "http://a:1", "version": "0.33.0", "device": "L4",
        "labels": {}, "vram": 24 * 10**9, "vram_free": 6 * 10**9, "models": {"checkpoints/xl.safetensors": 7},
        "run_id": "0123456789abcdef", "runs": 12, "loads": 3, "deaths": 0, "useful": 90.0, "loading": 10.0,
        "idle": 300.0,
    }  # fmt: skip
    return ServerStatus(**(facts | more))


@pytest.mark.parametrize("width", [80, 120])
def test_table(width: int) -> None:
    """Servers with state, run, models, memory and times; tenants; and pools that do not answer."""
    lost = _server(name="gpu1", state="lost", reason="it died \x1b[31m", run_id="", models={}, deaths=2)
    pool = PoolStatus((_server(), lost), (TenantStatus("acme", 3, 1, 0.25),), 3, 1, 20, 2, seconds=400.0)
    told = described(pool)
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(tables([ToldPool(7, "train.py", told["status"]), ToldPool(problem="does not answer within 2 s")]))
    text = console.export_text()
    console.file.close()

    words = " ".join(text.split())
    assert "train.py, process 7, for 7 min" in words
    assert "3 waiting, 1 running, 20 done, 2 failed; 6 models loaded; 22% useful, 2% loading, 75% idle" in words
    for part in ("gpu0", "01234567", "xl.", "18.0/24 GB", "90 s", "10 s", "5 min", "acme", "25%", "2x"):
        assert part in text, (part, text)
    assert "\x1b[31m" not in text
    assert "a pool: does not answer within 2 s" in words


def test_watching_ends_with_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    """A document each time, and exit code 0: that is how it is ended."""
    with start(environment, tmp_path, "pool", "status", "--watch", "--json") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == process.stdout.readline() == "[]\n"
        process.send_signal(signal.SIGINT)
        _, err = rest(process)
    assert (process.returncode, err) == (0, "")
