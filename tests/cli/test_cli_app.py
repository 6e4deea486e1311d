"""The grammar of the command line: help, version, usage errors, and the short way to the emulator."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from discomfort.cli import app, help_texts, main, run_choice, terminal
from discomfort.exceptions import SelfTestError, ServerDiedError

HEAVY = ("typer", "rich", "pydantic", "playwright", "numpy", "PIL", "aiohttp")


@pytest.mark.parametrize("command", ["run", "convert", "explain", "interface", "stubs", "ports", "doctor"])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_enough_for_a_stranger(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, option: str
) -> None:
    """Each command's help has examples, the environment and the exit codes, each on lines of their own."""
    monkeypatch.setenv("COLUMNS", "120")
    assert main([command, option]) == 0

    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"discomfort {command}" in " ".join(lines)
    for heading in ("Examples:", "Environment:", "Exit codes:"):
        assert heading in lines
    assert "0  success" in lines


@pytest.mark.parametrize(
    "command", [[], ["run"], ["convert"], ["explain"], ["interface"], ["stubs"], ["ports"], ["doctor"]]
)
def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """No line of the help is longer than 80 columns, and none of the examples is broken in two."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command, "--help"]) == 0

    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert f"\n    {help_texts.EXIT_CODES[2]}\n" in out


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``discomfort --help`` lists the commands."""
    assert main(["--help"]) == 0

    out = capsys.readouterr().out
    for command in ("run", "convert", "serve", "doctor"):
        assert f"\n  {command} " in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version is the distribution's."""
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"discomfort {version('discomfort')}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "--nonsense", "a"], ["convert"], ["--nonsense"]])
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """A command line that makes no sense is exit code 2, said on stderr."""
    assert main(arguments) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert "Error" in err


def test_serve_help(capsys: pytest.CaptureFixture[str]) -> None:
    """``serve --help`` is the emulator's own help."""
    assert main(["serve", "--help"]) == 0

    out = capsys.readouterr().out
    assert "discomfort serve" in out
    assert "--object-info" in out


def test_serve_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that the emulator does not know is exit code 2."""
    assert main(["serve", "--port", "x"]) == 2

    assert "--port" in capsys.readouterr().err


def test_serve_behind_the_overview_reaches_the_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where typer dispatches it, everything after ``serve`` goes to the emulator as it stands."""
    seen: list[list[str]] = []
    monkeypatch.setattr("comfyui_emulator.main", lambda argv: seen.append(list(argv)) or 3, raising=False)

    with pytest.raises(SystemExit) as end:
        app.build_app()(args=["serve", "--port", "1", "--help", "-x"])

    assert end.value.code == 3
    assert seen == [["--port", "1", "--help", "-x"]]


@pytest.mark.parametrize(("words", "needed"), [(["serve", "--port", "1"], []), (["--help"], ["typer", "rich"])])
def test_nothing_heavy_is_imported_without_need(words: list[str], needed: list[str]) -> None:
    """The emulator's command line loads none of the large libraries, help no more than it is made with."""
    script = (
        "import sys, comfyui_emulator as e\n"
        "e.main = lambda argv: 0\n"
        "from discomfort.cli import main\n"
        f"assert main({words!r}) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.endswith(f"{needed}\n")


def test_module_and_command_are_the_same() -> None:
    """``python -m discomfort`` is the command."""
    done = subprocess.run(
        [sys.executable, "-m", "discomfort", "--version"], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (0, f"discomfort {version('discomfort')}\n")


def test_ctrl_c_before_a_run_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption of the preparations is exit code 1, without a traceback."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_choice, "read_sources", interrupt)

    assert main(["run", "a.json"]) == 1


def test_an_unexpected_error_in_preparing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug in the preparations is a message and exit code 1."""

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(run_choice, "read_sources", fail)

    assert main(["run", "a.json"]) == 1
    assert "RuntimeError: a bug" in capsys.readouterr().err


def test_closed_streams_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that was started without stdout and stderr still works."""
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)

    screen = terminal.Terminal()
    screen.write("x")
    screen.fail("y")

    assert not screen.fancy
    sys.stdout.close()
    sys.stderr.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain", "plain"), ("two\nlines\t", "two\nlines\t"), ("\x1b[0m", "�[0m"), ("\udcff", "�"), ("日本", "日本")],
)
def test_clean(text: str, expected: str) -> None:
    """Control codes are replaced, everything else stays."""
    assert terminal.clean(text) == expected


def test_a_failed_self_test_shows_the_end_of_the_server() -> None:
    """Its cause is not printed beside it, so the log and the remedy are in the one message."""
    error = SelfTestError("the self-test failed: the server died")
    error.__cause__ = ServerDiedError("the server died", signal="SIGKILL", log_tail=["fire"])

    log, failed = terminal.describe(error).split("fire\n")

    assert log == "last log lines:\n  "
    assert failed.startswith("the self-test failed: the server died. Usually the system's out-of-memory killer")
    assert terminal.describe(SelfTestError("no picture")) == "no picture"
