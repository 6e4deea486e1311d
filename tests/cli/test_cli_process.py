"""The command line as a process of its own: terminals, pipes and signals, with a fake connector."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cli.fakes_cli import prompt, write

SCRIPT = Path(__file__).with_name("fakes_cli.py")
DEADLINE = 60.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**more: str) -> dict[str, str]:
    """The process's environment without what would change its output, able to import the fakes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DISCOMFORT_", "COMFYUI_", "NO_COLOR", "COLUMNS"))}
    return (
        kept
        | {"PYTHONPATH": f"{SCRIPT.parents[1]}:{SCRIPT.parents[2]}", "TERM": "xterm-256color", "LINES": "40"}
        | more
    )


def start(tmp_path: Path, *arguments: str, script: Sequence[str] = (str(SCRIPT),)) -> subprocess.Popen[str]:
    """The command line with its output in pipes."""
    return subprocess.Popen(
        [sys.executable, *script, *arguments],
        cwd=tmp_path, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(stream: object, text: str) -> str:
    """Read lines until one holds ``text``; the test's timeout is the deadline."""
    seen = ""
    for line in stream:  # type: ignore[attr-defined]
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} never came, but:\n{seen}")


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """All that was not read yet of stdout and stderr (what the streams hold in their buffers included)."""
    err = process.stderr.read()
    return process.stdout.read(), err


def in_terminal(tmp_path: Path, width: int, *arguments: str, **more: str) -> tuple[int, str]:
    """Run in a terminal of that width; the exit code, and all that was written to it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=tmp_path, env=environment(**more), stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    data, end = b"", time.monotonic() + DEADLINE
    try:
        while time.monotonic() < end and select.select([master], [], [], end - time.monotonic())[0]:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # EIO: the other side was closed
                break
            if not chunk:
                break
            data += chunk
        return process.wait(DEADLINE), data.decode()
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_wide_terminal_shows_bars_and_a_table(tmp_path: Path) -> None:
    """On a terminal the outputs are a table, after moving bars."""
    code, text = in_terminal(tmp_path, 120, "run", write(tmp_path / "a.json", prompt("Steps", "Save", "Text")))

    plain = _CODES.sub("", text)
    assert code == 0
    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    header = next(line for line in plain.splitlines() if line.startswith("Node "))
    assert header.split() == ["Node", "Title", "Class", "Kind", "Output"]
    assert re.search(r"^2 +Save +Save +image +output/picture\.png", plain, re.MULTILINE)


def test_a_narrow_terminal_shows_blocks(tmp_path: Path) -> None:
    """Where a table would break its paths, each output is a short block."""
    code, text = in_terminal(tmp_path, 40, "run", "-q", write(tmp_path / "a.json", prompt("Save")))

    assert code == 0
    assert "1 Save (image)\r\n  output/picture.png" in _CODES.sub("", text)
    assert "Title" not in text


def test_no_color_is_plain(tmp_path: Path) -> None:
    """With NO_COLOR a terminal gets no control codes at all."""
    code, text = in_terminal(tmp_path, 120, "run", write(tmp_path / "a.json", prompt("Steps", "Save")), NO_COLOR="1")

    assert code == 0
    assert "\x1b" not in text
    assert "[1/2] Steps, node 1" in text


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """``| head`` closes the pipe early: no traceback, and the exit code is the run's."""
    names = [write(tmp_path / f"{i}.json", prompt("Text")) for i in range(3)]
    with start(tmp_path, "run", "-q", *names) as process:
        process.stdout.close()
        err = process.stderr.read()

    assert process.returncode == 0
    assert err.splitlines() == ["warning: engine: emulator (no ComfyUI was found)"]


def test_stderr_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """Data still comes when nobody reads the messages."""
    with start(tmp_path, "run", write(tmp_path / "a.json", prompt("Text"))) as process:
        process.stderr.close()
        out = process.stdout.read()

    assert (process.returncode, out) == (0, "hello\n")


def test_streams_that_were_never_open(tmp_path: Path) -> None:
    """``>&- 2>&-`` is not an error either."""
    name = write(tmp_path / "a.json", prompt("Save"))
    command = f'"{sys.executable}" "{SCRIPT}" run "{name}" >&- 2>&-'
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment(), check=False, timeout=DEADLINE)

    assert done.returncode == 0
    assert (tmp_path / "output" / "picture.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """The run is cancelled, the server shut down, exit code 1, and what was complete is on stdout."""
    names = [write(tmp_path / f"{kind}.json", prompt(kind)) for kind in ("Text", "Slow", "Save")]
    with start(tmp_path, "run", *names) as process:
        wait_for(process.stderr, "[1/1] Slow")
        process.send_signal(number)
        out, err = rest(process)

    assert process.returncode == 1
    assert out == "hello\n"
    assert f"{number.name}: taking the run off the server" in err
    assert "shutting down ..." in err
    assert f"error: interrupted by {number.name}; everything was shut down" in err
    assert "Traceback" not in err
    assert "sync cleanup" not in err


def test_an_interrupted_json_run_is_a_document(tmp_path: Path) -> None:
    """Scripts get one document also then: what was done, and what was not."""
    names = [write(tmp_path / f"{kind}.json", prompt(kind)) for kind in ("Text", "Slow")]
    with start(tmp_path, "run", "--json", *names) as process:
        wait_for(process.stderr, "[1/1] Slow")
        process.send_signal(signal.SIGINT)
        out, _ = rest(process)

    assert process.returncode == 1
    assert re.findall(r'"status": "(\w+)"', out) == ["success", "error"]
    assert '"type": "Interrupted"' in out


HANG = """
import sys, signal
sys.argv[0] = "discomfort"
from cli import fakes_cli
async def kill_api(self):
    import asyncio
    print("hanging", file=sys.stderr, flush=True)
    await asyncio.Event().wait()
fakes_cli.FakeConnector.kill_api = kill_api
sys.exit(fakes_cli.play())
"""


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    """A shutdown that hangs is cut short by the second Ctrl-C, after an emergency cleanup."""
    with start(tmp_path, "run", write(tmp_path / "a.json", prompt("Slow")), script=["-c", HANG]) as process:
        wait_for(process.stderr, "[1/1] Slow")
        process.send_signal(signal.SIGINT)
        wait_for(process.stderr, "hanging")
        process.send_signal(signal.SIGINT)
        _, err = rest(process)

    assert process.returncode == 1
    assert "forced" in err
    assert "sync cleanup" in err


IGNORING = f"""
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.argv[0] = {str(SCRIPT)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_sigint_is_heard_also_in_the_background(tmp_path: Path) -> None:
    """Where a shell had SIGINT ignored it still stops the run: nobody could stop the server otherwise."""
    with start(tmp_path, "run", write(tmp_path / "a.json", prompt("Slow")), script=["-c", IGNORING]) as process:
        wait_for(process.stderr, "[1/1] Slow")
        process.send_signal(signal.SIGINT)
        rest(process)

    assert process.returncode == 1
