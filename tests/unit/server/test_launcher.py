"""Starting a process: group, pipe, signals, and errors that name the remedy."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from discomfort._system.server_command import ServerCommand
from discomfort.exceptions import ServerStartError
from discomfort.server.launcher import spawn

MakeCommand = Callable[..., ServerCommand]


def output_of(command: ServerCommand) -> tuple[str, int]:
    process = spawn(command)
    out, _ = process.communicate(timeout=20)
    return out.decode(), process.returncode


def test_the_child_leads_its_own_session(tmp_path: Path) -> None:
    """Ctrl-C in our terminal does not reach it, and its group can be signalled as one."""
    code = "import os; print(os.getpid() == os.getpgid(0) == os.getsid(0), os.getcwd())"

    assert output_of(ServerCommand((sys.executable, "-c", code), tmp_path)) == (f"True {tmp_path}\n", 0)


def test_error_output_and_input(tmp_path: Path) -> None:
    """Output and error come through one pipe, input is empty."""
    code = "import sys; sys.stderr.write('err\\n'); sys.stderr.flush(); print(repr(sys.stdin.read()))"

    assert output_of(ServerCommand((sys.executable, "-c", code), tmp_path))[0] == "err\n''\n"


def test_no_descriptor_is_inherited(tmp_path: Path) -> None:
    """What we have open, inheritable or not, stays ours."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    code = f"import os; os.fstat({write})"
    out, exit_code = output_of(ServerCommand((sys.executable, "-I", "-S", "-c", code), tmp_path))
    os.close(read)
    os.close(write)

    assert exit_code == 1
    assert "Bad file descriptor" in out


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("ignored", [[], [signal.SIGINT], [signal.SIGTERM, signal.SIGHUP]])
def test_signals_have_their_default_effect(child: MakeCommand, ignored: list[signal.Signals], blocked: bool) -> None:
    """A server started where signals are ignored or blocked can still be stopped by them."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1] if blocked else [])
    try:
        out, code = output_of(child("--report-signals", "--exit", 0))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)

    assert code == 0
    assert json.loads(out) == [True, [True, True], 0]


def test_a_program_that_can_not_be_executed_says_so_when_signals_are_altered(tmp_path: Path) -> None:
    """The second exec reports its failure in the output and by exit code 127."""
    broken = tmp_path / "broken"
    broken.write_text("#!/nonexistent/interpreter\n")
    broken.chmod(0o755)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        out, code = output_of(ServerCommand((str(broken),), tmp_path))
    finally:
        signal.signal(signal.SIGINT, before)

    assert code == 127
    assert str(broken) in out


def test_environment_is_given_and_kept_secret(tmp_path: Path) -> None:
    """The environment is exactly the given one, and no repr shows it."""
    command = ServerCommand((sys.executable, "-I", "-S", "-c", "import os; print(os.environ['KEY'])"), tmp_path, {
        "KEY": "hunter2"})  # fmt: skip

    assert output_of(command)[0] == "hunter2\n"
    assert "hunter2" not in repr(command)


def test_a_relative_program_is_found_from_the_working_directory(tmp_path: Path) -> None:
    """``./run.sh`` means the one in the folder that the server starts in."""
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\necho here $1\n")
    script.chmod(0o755)

    assert output_of(ServerCommand(("./run.sh", "$HOME"), tmp_path)) == ("here $HOME\n", 0)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "empty"),
        (("",), "empty"),
        (("no-such-program-here", "main.py"), "'no-such-program-here' is not a program"),
        (("./missing.sh",), "'./missing.sh' is not a program"),
    ],
)
def test_what_can_not_be_started(tmp_path: Path, argv: tuple[str, ...], text: str) -> None:
    """The error names the program and carries the command."""
    with pytest.raises(ServerStartError, match=text) as caught:
        spawn(ServerCommand(argv, tmp_path, {"SECRET": "hunter2", "PATH": "/usr/bin"}))

    assert caught.value.command == argv
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)


def test_missing_working_directory(tmp_path: Path) -> None:
    """The error names the folder and the setting."""
    with pytest.raises(ServerStartError, match=r"nowhere does not exist.*API_WORKING_DIRECTORY"):
        spawn(ServerCommand((sys.executable,), tmp_path / "nowhere"))


def test_an_error_of_the_system_is_mapped(tmp_path: Path) -> None:
    """A file that looks like a program and is none gives our error with the system's as its cause."""
    fake = tmp_path / "fake"
    fake.write_bytes(b"\x7fELF nonsense")
    fake.chmod(0o755)

    with pytest.raises(ServerStartError, match="could not be started") as caught:
        spawn(ServerCommand((str(fake),), tmp_path))

    assert isinstance(caught.value.__cause__, OSError)
