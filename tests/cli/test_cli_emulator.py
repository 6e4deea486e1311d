"""The command line with everything real but ComfyUI and the browser: the emulator as a server of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cli.fakes_cli import write
from PIL import Image

NODES = Path(__file__).with_name("slow_nodes.py")
PICTURE = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/p"}},
}
FOREVER = {"1": {"class_type": "Forever", "inputs": {"seed": 1}}}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No settings but these: the emulator, no browser before it is needed, private folders for everything."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DISCOMFORT_", "COMFYUI_"))}
    (tmp_path / "tmp").mkdir()
    return kept | {
        "DISCOMFORT_ENGINE": "emulator",
        "DISCOMFORT_BROWSER": "lazy",
        "DISCOMFORT_INITIAL_PORT": "21880",
        "TMPDIR": str(tmp_path / "tmp"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "HOME": str(tmp_path),
    }


def start(environment: dict[str, str], cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command with its streams in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "discomfort", *arguments],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """The first line of stderr that holds ``text``; the test's timeout is the deadline."""
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"{text!r} never came, but: {seen}")


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """All that was not read yet of stdout and stderr."""
    err = process.stderr.read()
    return process.stdout.read(), err


def related(tmp_path: Path) -> list[str]:
    """Command lines of the processes that have the test's folder in them."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [" ".join(words) for words in found if any(str(tmp_path) in word for word in words)]


@pytest.fixture
def server(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of an emulator that somebody else runs."""
    base = tmp_path / "served"
    with start(
        environment, tmp_path, "serve", "--port", "0", "--base-directory", str(base), "--extra-nodes", str(NODES)
    ) as process:
        try:
            yield read_until(process, "To see the GUI go to: ").rpartition(" ")[2].strip()
            assert process.poll() is None
        finally:
            process.terminate()


def test_a_prompt_becomes_a_picture(environment: dict[str, str], tmp_path: Path) -> None:
    """The emulator starts, passes its self-test, runs the prompt, and leaves nothing but the saved picture."""
    name = write(tmp_path / "a.json", PICTURE)
    with start(environment, tmp_path, "run", name, "--set", "EmptyImage.width=16") as process:
        out, err = rest(process)

    assert process.returncode == 0, err
    assert out == "output/p_00001_.png\n"
    assert (tmp_path / "output" / "p_00001_.png").read_bytes().startswith(b"\x89PNG")
    assert "engine: emulator" in err
    assert "[2/2] SaveImage, node 2" in err
    assert related(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_prompt_that_the_server_refuses(environment: dict[str, str], tmp_path: Path) -> None:
    """A validation error names node and input, in one message, and is exit code 1."""
    wrong = json.loads(json.dumps(PICTURE))
    wrong["1"]["inputs"]["width"] = -5
    name = write(tmp_path / "a.json", wrong)
    with start(environment, tmp_path, "run", "-q", name) as process:
        out, err = rest(process)

    assert (process.returncode, out) == (1, "")
    assert "'EmptyImage' input 'width'" in err
    assert "Traceback" not in err


def test_values_at_ports(environment: dict[str, str], tmp_path: Path) -> None:
    """A picture goes in and comes out, twice over; the nodes of ports came with the server, and nothing is left."""
    graph = {
        "1": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "picture"}},
        "2": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "by"}},
        "3": {
            "class_type": "ImageScaleBy",
            "inputs": {"image": ["1", 0], "upscale_method": "area", "scale_by": ["2", 0]},
        },
        "4": {"class_type": "DiscomfortPort", "inputs": {"unique_id": "picture", "input_data": ["3", 0]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "p"}},
    }
    Image.new("RGB", (8, 4), "navy").save(tmp_path / "in.png")
    words = ["run", write(tmp_path / "a.json", graph), "--in", "picture=in.png", "--in", "by=2"]
    with start(environment, tmp_path, *words, "--iterations", "2", "--out", "picture=out.png") as process:
        out, err = rest(process)

    assert process.returncode == 0, err
    assert out.splitlines() == ["output/p_00001_.png", "output/p_00002_.png", "out.png"]
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (32, 16)
    assert "run 2 of 2: a.json, iteration 2 of 2" in err
    assert related(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_ctrl_c_stops_a_node_that_runs(environment: dict[str, str], tmp_path: Path) -> None:
    """One SIGINT: the prompt is interrupted, the server ended, exit code 1, and nothing left behind."""
    environment.pop("DISCOMFORT_ENGINE")
    command = f"{sys.executable} -m discomfort serve --base-directory {tmp_path}/base --extra-nodes {NODES}"
    environment["DISCOMFORT_API_COMMAND_LINE"] = command
    (tmp_path / "base").mkdir()
    with start(environment, tmp_path, "run", write(tmp_path / "a.json", FOREVER)) as process:
        read_until(process, "Forever: step 1 of 2")
        assert any("--extra-nodes" in line for line in related(tmp_path))
        process.send_signal(signal.SIGINT)
        out, err = rest(process)

    assert (process.returncode, out) == (1, "")
    assert "error: interrupted by SIGINT; everything was shut down" in err
    assert "Traceback" not in err
    assert related(tmp_path) == []


def test_a_sweep_spends_only_if_it_is_told(environment: dict[str, str], server: str, tmp_path: Path) -> None:
    """Paid nodes are refused with one error for all rows; with --allow-paid they get the key of the environment."""
    name = write(tmp_path / "a.json", {"1": {"class_type": "Paid", "inputs": {"seed": 1}}})
    environment["DISCOMFORT_API_KEY"] = "planted-key"
    words = ["sweep", name, "--grid", "Paid.seed=1,2", "--no-contact-sheet", "--json", "--attach", server]

    with start(environment, tmp_path, *words) as process:
        out, err = rest(process)
    assert (process.returncode, out) == (1, "")
    assert err.count("node 1 'Paid'") == 1, err
    assert "--allow-paid" in err

    with start(environment, tmp_path, *words, "--allow-paid") as process:
        out, err = rest(process)
    assert process.returncode == 0, err
    assert "1 with a key" in out
    assert "2 with a key" in out


def test_an_attached_server_goes_on(environment: dict[str, str], server: str, tmp_path: Path) -> None:
    """A run on somebody else's server saves its outputs and stops nothing."""
    environment.pop("DISCOMFORT_ENGINE")
    name = write(tmp_path / "a.json", PICTURE)
    with start(environment, tmp_path, "run", "--json", "--attach", server, name, "-o", "saved") as process:
        out, err = rest(process)

    assert process.returncode == 0, err
    assert [Path(output["path"]).name for output in json.loads(out)["outputs"]] == ["p_00001_.png"]
    assert f"engine: attached ({server})" in err


def test_a_server_that_is_not_there(environment: dict[str, str], tmp_path: Path) -> None:
    """Attaching to nothing is one message and exit code 1."""
    environment.pop("DISCOMFORT_ENGINE")
    name = write(tmp_path / "a.json", PICTURE)
    with start(environment, tmp_path, "run", "-q", "--attach", "http://127.0.0.1:9", name) as process:
        out, err = rest(process)

    assert (process.returncode, out) == (1, "")
    assert err.startswith("error: ")
    assert "127.0.0.1:9" in err


def finish(environment: dict[str, str], cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command to its end; exit code, stdout and stderr."""
    with start(environment, cwd, *arguments) as process:
        out, err = rest(process)
    return process.returncode, out, err


def test_a_batch_is_resumed(environment: dict[str, str], tmp_path: Path) -> None:
    """Each run has its own value and name; the same command later does only what is missing."""
    name = write(tmp_path / "wf.json", PICTURE)
    options = ["--name", "{EmptyImage.color}", "--skip-existing", "-o", "results", "--set"]

    first = finish(environment, tmp_path, "run", name, *options, "EmptyImage.color=0..1")
    second = finish(environment, tmp_path, "run", name, *options, "EmptyImage.color=0..2")

    assert first[:2] == (0, "results/0.png\nresults/1.png\n")
    assert second[:2] == (0, "results/2.png\n")
    assert "3 runs: 1 done, 2 there already" in second[2]
    assert [(tmp_path / f"results/{number}.png").read_bytes()[:4] for number in range(3)] == [b"\x89PNG"] * 3


def test_a_value_out_of_range_is_said_before_the_first_run(environment: dict[str, str], tmp_path: Path) -> None:
    """The server's own definitions say what is allowed; nothing runs."""
    name = write(tmp_path / "wf.json", PICTURE)

    code, out, err = finish(environment, tmp_path, "run", name, "--set", "EmptyImage.color=0..20000000..10000000")

    assert (code, out) == (2, "")
    assert "takes a number from 0 to 16777215, given 20000000" in err
    assert "run 1 of 3" not in err
    assert not (tmp_path / "output").exists()


def test_inputs_by_name(server: str, environment: dict[str, str], tmp_path: Path) -> None:
    """The interface of a prompt with a sidecar, its help, a run by name, and stubs, on a real server."""
    name = write(tmp_path / "picture.json", PICTURE)
    names = {"inputs": {"width": "EmptyImage.width"}, "outputs": {"made": "2"}, "outptus": {}}
    write(tmp_path / "picture.discomfort.json", names)
    results = []
    for words in (
        ["interface", name],
        ["run", name, "--help"],
        ["run", name, "--width", "24", "-o", "made"],
        ["run", name, "--width", "wide"],
        ["stubs", name],
    ):
        with start(environment, tmp_path, *words, "--attach", server) as process:
            results.append((*process.communicate(), process.returncode))
    (shown, quiet, told), (helped, _, _), (saved, error, code), (_, refused, wrong), (stubs, _, _) = results
    assert shown.splitlines()[1].split() == ["width", "int", "1…16384", "=", "8"]
    assert "the key 'outptus' is not known; did you mean 'outputs'?" in shown
    assert ("is not known" in quiet, told) == (False, 1)
    assert "  --width 1…16384" in helped
    assert code == 0, error
    assert error.count("warning: picture.json: sidecar: the sidecar: the key 'outptus' is not known") == 1
    with Image.open(tmp_path / saved.strip()) as picture:
        assert picture.size == (24, 8)
    assert wrong == 2
    assert "width" in refused
    assert stubs == "stubs/picture.pyi\n"
    types = (tmp_path / stubs.strip()).read_text("utf-8")
    assert "        width: int = 8,\n" in types
    assert "    made: _outputs." in types
