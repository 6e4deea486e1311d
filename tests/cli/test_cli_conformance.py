"""``discomfort conformance``: its report on a server that conforms, on one that does not, and on none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.served import served
from unit.conformance.deviations import deviating_app, newer_app, versioned_app

from comfyui_conformance import Difference, Result, all_checks
from comfyui_conformance.changes import NEWEST, OLDEST
from discomfort.cli import main
from discomfort.cli.conformance import show_difference
from discomfort.cli.terminal import Terminal


@pytest.fixture
def deviating(tmp_path: Path) -> Iterator[str]:
    """The address of an emulator that has no answer for an unknown record."""
    with served(lambda: deviating_app(tmp_path, "missing")) as url:
        yield url


def test_differences(deviating: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each difference is a line on stdout, the sum is on stderr, and the exit code 1."""
    assert main(["conformance", "--against", deviating, "--only", "history.unknown", "--only", "*.clear"]) == 1

    told = capsys.readouterr()
    path = "/history/discomfort-conformance-none"
    assert f"history.unknown: status of GET {path}: expected 200, found 404\n" in told.out
    assert "skipped queueing.clear, history.clear: affects other users" in told.err
    assert "0 as ComfyUI" in told.err
    assert "1 different, 2 skipped, 0 not applicable" in told.err


def test_conforming(deviating: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, and exit code 0, where nothing differs."""
    assert main(["conformance", "--against", deviating, "--only", "history.texts"]) == 0

    told = capsys.readouterr()
    assert told.out == ""
    assert re.search(r"1 as ComfyUI [\d.]+, 0 different, 0 skipped", told.err)


def test_json(deviating: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All results are one document on stdout."""
    assert main(["conformance", "--against", deviating, "--only", "history.*n*", "--json", "-q"]) == 1

    told = capsys.readouterr()
    report = json.loads(told.out)
    assert (report["ok"], report["counts"]["differs"]) == (False, 1)
    assert report["follows"] == report["server"]["comfyui_version"]
    assert report["doubt"] == ""
    assert {"history.unknown", "history.completion-order"} <= {result["name"] for result in report["results"]}
    assert told.err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--against URL is needed"),
        (["--against", "http://127.0.0.1:1"], "http://127.0.0.1:1: no answer"),
        (["--against", "nonsense://x"], "a server's address"),
        (["--against", "http://127.0.0.1:1", "--only", "nothing"], "no check has this name"),
        (["--against", "http://127.0.0.1:1", "--header", "no header"], "expected 'Name: value'"),
    ],
)
def test_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    """Bad usage, and a server that is not there, are exit code 2."""
    assert main(["conformance", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """The names of all checks, or of some, without a server."""
    assert main(["conformance", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(all_checks())
    assert main(["conformance", "--list", "--only", "queueing.clear", "--json"]) == 0

    (check,) = json.loads(capsys.readouterr().out)
    assert (check["name"], check["exclusive"]) == ("queueing.clear", True)


def test_list_says_since_when(capsys: pytest.CaptureFixture[str]) -> None:
    """Checks that do not hold in all releases say in which; the help names the oldest and the newest release."""
    assert main(["conformance", "--list", "--only", "prompts.id-*", "--only", "interrupting.while-idle"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())

    assert lines["prompts.id-not-canonical"].endswith("(since 0.25.0)")
    assert lines["prompts.id-with-a-slash"].endswith("(before 0.25.0)")
    assert lines["prompts.id-made-by-the-server"].endswith("UUID.")
    assert lines["interrupting.while-idle"].endswith("(--exclusive)")
    assert main(["conformance", "--list", "--only", "prompts.id-null", "--json"]) == 0
    (check,) = json.loads(capsys.readouterr().out)
    assert (check["since"], check["before"]) == ("0.25.0", "")
    main(["conformance", "--help"])
    told = capsys.readouterr().out
    assert OLDEST in told
    assert NEWEST in told


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0.24.1", ["not applicable to ComfyUI 0.24.1: prompts.id-not-canonical (since 0.25.0)", "1 not applicable"]),
        ("0.46.0", ["newer than the checks know; it is checked as 0.33.0", "(before 0.25.0)"]),
        (None, ["does not report its version; it is checked as ComfyUI 0.33.0", "ComfyUI of an unknown version"]),
    ],
)
def test_other_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str | None, told: list[str]
) -> None:
    """What does not apply to the server's version is named, and so is the version that it is checked as."""
    only = ["--only", "prompts.id-not-canonical", "--only", "prompts.id-with-a-slash"]
    with served(lambda: versioned_app(tmp_path, version)) as url:
        main(["conformance", "--against", url, *only])

    found = capsys.readouterr().err
    assert [text for text in told if text not in found] == []


def test_a_newer_version_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that the checks do not know is told as such, together with what differs, in both forms."""
    only = ["--only", "history.unknown", "--only", "history.texts"]
    with served(lambda: newer_app(tmp_path)) as url:
        assert main(["conformance", "--against", url, *only]) == 1
        text = capsys.readouterr()
        assert main(["conformance", "--against", url, *only, "--json"]) == 1
        report = json.loads(capsys.readouterr().out)

    doubt = f"ComfyUI 0.99.0 is newer than the checks know; it is checked as {NEWEST}"
    assert doubt in text.err
    assert "history.unknown: status of GET /history/discomfort-conformance-none: expected 200, found 404" in text.out
    assert f"1 as ComfyUI {NEWEST}, 1 different" in text.err
    assert (report["doubt"], report["follows"], report["ok"]) == (doubt, NEWEST, False)
    assert report["server"]["comfyui_version"] == "0.99.0"


def test_on_a_terminal(deviating: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees what should be and what is, and a table of the areas."""
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["conformance", "--against", deviating, "--only", "history.unknown"]) == 1

    out = capsys.readouterr().out
    assert "expected 200" in out
    assert "found    404" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("history ")]
    assert row == ["history", "0", "1", "0", "0"]


def test_control_codes_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """What a server sends may not change the terminal."""
    (check,) = all_checks(["history.unknown"])
    show_difference(Terminal(), Result(check, "differs", [Difference("x", "a", "\x1b[31m")]))

    assert "\x1b" not in capsys.readouterr().out
