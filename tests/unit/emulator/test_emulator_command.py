"""The command line: flags, start, stop, and failures that name a remedy."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from comfyui_emulator.command import bind, config_from, load_extra_nodes, main, parser
from comfyui_emulator.settings import EmulatorConfig


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A server process and its URL, read from its log."""
    process = subprocess.Popen(
        [sys.executable, "-m", "comfyui_emulator", "--port", "0", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://[\d.]+:\d+", line):
            return process, found[0]
    raise AssertionError(f"the server ended with {process.wait()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_serves_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """A started process answers, and on a signal exits with code 0 and removes its temporary folder."""
    process, url = start("--base-directory", str(tmp_path), "--cpu")
    try:
        with urllib.request.urlopen(f"{url}/system_stats", timeout=20) as answer:
            stats = json.load(answer)
    finally:
        process.send_signal(number)
        _, log = process.communicate(timeout=20)

    assert stats["system"]["discomfort"]["emulator"] is True
    assert process.returncode == 0, log
    assert not (tmp_path / "temp").exists()


def test_import_is_light() -> None:
    """The command and the application import nothing heavy."""
    heavy = ("typer", "rich", "playwright", "pydantic", "numpy", "PIL", "torch")
    code = "import sys, comfyui_emulator.http.app, comfyui_emulator.command"
    code += f"; print([name for name in {heavy} if name in sys.modules])"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert result.stdout.strip() == "[]"


def test_taken_port_touches_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A port in use means exit code 1, before any folder is made or wiped."""
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp" / "theirs").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = main(["--port", str(port), "--base-directory", str(tmp_path)])

    assert code == 1
    assert "could not start" in caplog.text
    assert (tmp_path / "temp" / "theirs").exists()
    assert not (tmp_path / "user").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nope"],
        ["--port", "x"],
        ["--cache-none", "--cache-lru", "3"],
        ["--front-end-root", "/nope"],
        ["--object-info", "/nope"],
    ],
)
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong flags end the process at once."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)

    assert raised.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_flags_become_settings(tmp_path: Path) -> None:
    """ComfyUI's flags are understood, including those without effect here."""
    argv = ["--cpu", "--cache-lru", "7", "--disable-metadata", "--max-upload-size", "2.5", "--enable-cors-header"]
    argv += ["--database-url", "sqlite:///x", "--temp-directory", str(tmp_path), "--enable-compress-response-body"]

    config = config_from(parser().parse_args(argv), argv)

    assert config == EmulatorConfig(
        temp_directory=tmp_path,
        cache="lru",
        cache_lru=7,
        disable_metadata=True,
        max_upload_size=2.5,
        enable_cors="*",
        compress_response_body=True,
        argv=("discomfort serve", *argv),
    )


@pytest.mark.parametrize(
    ("argv", "expected"), [([], "127.0.0.1"), (["--listen"], "0.0.0.0,::"), (["--listen", "a,b"], "a,b")]
)
def test_listen_has_comfyuis_defaults(argv: list[str], expected: str) -> None:
    """The default is loopback; the bare flag means all addresses."""
    assert parser().parse_args(argv).listen == expected


def test_extra_nodes_of_a_file(tmp_path: Path) -> None:
    """A Python file with node mappings is loaded, titles included."""
    path = tmp_path / "my_extra_nodes.py"
    path.write_text("class A: pass\nNODE_CLASS_MAPPINGS = {'A': A}\nNODE_DISPLAY_NAME_MAPPINGS = {'A': 'Title'}\n")

    nodes = load_extra_nodes([str(path)])

    assert nodes["A"].DISPLAY_NAME == "Title"  # type: ignore[attr-defined]


def test_bind_releases_what_it_took() -> None:
    """If the second address cannot be bound, the first one is released."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="use"):
            bind(["127.0.0.2", "127.0.0.1"], port)
        for again in bind(["127.0.0.2"], port):
            again.close()
