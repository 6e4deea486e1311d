"""The command line: flags, start, stop, and failures that name a remedy."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from comfyui_emulator import create_app
from comfyui_emulator.command import bind, config_from, load_extra_nodes, main
from comfyui_emulator.database_lock import DatabaseLock, DatabaseLockError
from comfyui_emulator.feature_flags import parse_flags
from comfyui_emulator.flags import parser
from comfyui_emulator.settings import EmulatorConfig


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A server process and its URL, read from its log."""
    process = subprocess.Popen(
        [sys.executable, "-m", "comfyui_emulator", "--port", "0", *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"https?://[\d.]+:\d+", line):
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
    line = f"Port {port} is already in use on address 127.0.0.1. Please close the other application or use a different"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"{line} port with --port."
    ]
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
        ["--user-directory", "/nope"],
        ["--models-directory", "/nope"],
        ["--normalvram"],
        ["--disable-ipex-optimize"],
        ["--verbose", "info"],
        ["--verbose", "INFO", "a", "b"],
        ["--cache-ram", "1", "2", "3"],
        ["--cache-ram", "1", "--high-ram"],
        ["--lowvram", "--cpu"],
        ["--preview-method", "x"],
        ["--fast", "x"],
    ],
)
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong flags end the process at once."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)

    assert raised.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "kind", "limits"),
    [
        ([], "ram", None),
        (["--cache-ram"], "ram", None),
        (["--cache-ram", "2"], "ram", (2.0, float("inf"))),
        (["--cache-ram", "1", "3.5"], "ram", (1.0, 3.5)),
        (["--cache-classic"], "classic", None),
        (["--high-ram"], "classic", None),
        (["--cache-none"], "none", None),
        (["--cache-lru", "0"], "ram", None),
    ],
)
def test_caches(argv: list[str], kind: str, limits: Any) -> None:
    """The default is memory pressure; its second limit is the whole memory where it is not given."""
    config = config_from(parser().parse_args(argv), argv)

    assert (config.cache, config.cache_ram) == (kind, limits)


def test_flags_become_settings(tmp_path: Path) -> None:
    """ComfyUI's flags are understood, including those without effect here."""
    argv = ["--cpu", "--cache-lru", "7", "--disable-metadata", "--max-upload-size", "2.5", "--enable-cors-header"]
    argv += ["--database-url", "sqlite:///x", "--temp-directory", str(tmp_path), "--enable-compress-response-body"]
    argv += ["--models-directory", str(tmp_path), "--feature-flag", "enable_telemetry", "--disable-api-nodes"]
    argv += ["--fast", "--async-offload", "--cuda-device", "0,1", "--fp16-vae", "--use-ck-attention", "--fast-disk"]
    argv += ["--extra-model-paths-config", "a", "b", "--extra-model-paths-config", "c", "--vram-headroom", "1.5"]

    config = config_from(parser().parse_args(argv), argv)

    assert config == EmulatorConfig(
        temp_directory=tmp_path,
        cache="lru",
        cache_lru=7,
        disable_metadata=True,
        max_upload_size=2.5,
        enable_cors="*",
        models_directory=tmp_path,
        feature_flags={"enable_telemetry": True},
        block_external=True,
        compress_response_body=True,
        argv=("discomfort serve", *argv),
    )


def logged(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """A whole run of the program that loads everything and ends; its code, output and errors."""
    command = [sys.executable, "-m", "comfyui_emulator", "--base-directory", str(tmp_path), "--quick-test-for-ci"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_lines_at_the_start(tmp_path: Path) -> None:
    """Each line has its level in colour, also in a pipe; the last one says where, unless that is unwanted."""
    process, url = start("--base-directory", str(tmp_path), "--enable-assets")
    process.send_signal(signal.SIGINT)
    _, end = process.communicate(timeout=20)
    silent = subprocess.Popen(
        [sys.executable, "-m", "comfyui_emulator", "--port", "0", "--dont-print-server", "--base-directory", tmp_path],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert silent.stderr is not None
    with silent:
        first = silent.stderr.readline()
        silent.send_signal(signal.SIGTERM)
        rest = silent.stderr.read()

    assert url.startswith("http://127.0.0.1:")
    assert end == "\033[32m[INFO]\033[0m \nStopped server\n"
    assert first.startswith("\033[32m[INFO]\033[0m This is the discomfort emulator, not ComfyUI: ")
    assert f"[INFO]\033[0m Setting base directory to: {tmp_path}\n" in rest
    assert "http://" not in rest


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https(tmp_path: Path) -> None:
    """With a key and its certificate, the server speaks HTTPS and says so."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    process, url = start(
        "--base-directory", str(tmp_path), "--tls-keyfile", str(key), "--tls-certfile", str(certificate)
    )
    try:
        trusted = ssl.create_default_context(cafile=certificate)
        trusted.check_hostname = False
        with urllib.request.urlopen(f"{url}/prompt", timeout=20, context=trusted) as answer:
            status = answer.status
    finally:
        process.terminate()
        process.communicate(timeout=20)

    assert (url[:8], status) == ("https://", 200)


def test_quick_test_ends_at_once(tmp_path: Path) -> None:
    """Everything is loaded, nothing is served; what the emulator cannot follow is said."""
    code, out, errors = logged(tmp_path, "--enable-assets", "--enable-manager")

    assert (code, out) == (0, "")
    assert errors == (
        "\033[1m\033[33m[WARNING]\033[0m without effect in the emulator: --enable-assets, --enable-manager\n"
    )


def test_unreadable_definitions_end_the_server(tmp_path: Path) -> None:
    """A file that is not a saved /object_info ends the server with the reason; it is read after the start."""
    (tmp_path / "info.json").write_text("[]")
    flags = ("--base-directory", str(tmp_path), "--object-info", str(tmp_path / "info.json"))

    process, _ = start(*flags)
    _, log = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"could not be loaded: {tmp_path}/info.json is not a saved /object_info" in log


async def test_requests_for_missing_definitions_fail(tmp_path: Path) -> None:
    """Requests that need node types are answered with 500 where they cannot be loaded; none waits forever."""
    (tmp_path / "info.json").write_text("[]")
    app = create_app(EmulatorConfig(base_directory=tmp_path, object_info=tmp_path / "info.json"))
    async with TestClient(TestServer(app)) as http, asyncio.timeout(60):
        answers = [await http.get(path) for path in ("/object_info", "/extensions", "/system_stats")]

    assert [answer.status for answer in answers] == [500, 500, 200]


def test_where_log_lines_go(tmp_path: Path) -> None:
    """The console has one level, each file its own; with ``--log-stdout`` only errors are on stderr."""
    log, lost = tmp_path / "log.txt", tmp_path / "no" / "log.txt"
    code, out, errors = logged(
        tmp_path, "--enable-assets", "--log-stdout", "--verbose", "ERROR", "--verbose", "WARNING", str(log),
        "--verbose", "DEBUG", str(lost), "--verbose", "WARNING",
    )  # fmt: skip

    level = "\033[1m\033[33m[WARNING]\033[0m"
    assert (code, errors) == (0, "")
    assert out.splitlines() == [
        f"{level} Could not open DEBUG log {lost}: [Errno 2] No such file or directory: '{lost}'",
        f"{level} without effect in the emulator: --enable-assets",
    ]
    assert re.fullmatch(
        r"\[[\d-]+ [\d:,]+\] \[WARNING\] Could not open DEBUG log .*\n"
        r"\[[\d-]+ [\d:,]+\] \[WARNING\] without effect in the emulator: --enable-assets\n",
        log.read_text(),
    )


def test_feature_flags_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """A launcher gets the registered flags as JSON, and nothing is started."""
    assert main(["--list-feature-flags"]) == 0

    listed = json.loads(capsys.readouterr().out)
    assert {(name, entry["type"], entry["default"]) for name, entry in listed.items()} == {
        ("show_signin_button", "bool", False),
        ("enable_telemetry", "bool", False),
    }


def test_values_of_feature_flags(caplog: pytest.LogCaptureFixture) -> None:
    """Registered flags are true or false, others texts; a wrong value is dropped and said."""
    given = ["show_signin_button", "enable_telemetry=ture", "a= b=c ", "n=5", "=x", " c"]

    assert parse_flags(given) == {"show_signin_button": True, "a": "b=c", "n": "5", "c": "true"}
    assert parse_flags(["enable_telemetry=FALSE"]) == {"enable_telemetry": False}
    assert [record.getMessage() for record in caplog.records] == [
        "Could not coerce --feature-flag enable_telemetry='ture' to bool; dropping flag."
    ]


@pytest.mark.parametrize("assets", [False, True])
def test_database_in_use(tmp_path: Path, *, assets: bool) -> None:
    """A second server on one database says so, and goes on unless it needs it for assets."""
    url = f"sqlite:///{tmp_path}/x.db"
    holder = DatabaseLock()
    holder.take(url)
    try:
        code, _, errors = logged(tmp_path, "--database-url", url, *(["--enable-assets"] if assets else []))
    finally:
        holder.release()

    assert code == (1 if assets else 0)
    assert "[ERROR]\033[0m Failed to initialize database: Could not acquire lock on database" in errors
    assert "Use --database-url to specify a separate database file." in errors
    assert logged(tmp_path, "--database-url", url)[2] == ""


@pytest.mark.parametrize(
    ("url", "text"),
    [("sqlite:////nope/x.db", "unable to open database file"), ("mysql://x", "Unsupported database URL 'mysql://x'.")],
)
def test_database_that_cannot_be_used(url: str, text: str) -> None:
    """The reason is named."""
    with pytest.raises(DatabaseLockError, match=text):
        DatabaseLock().take(url)


def test_database_in_memory_has_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of servers may use one: it makes no file, while the lock of one on disk does, and is held once."""
    monkeypatch.chdir(tmp_path)
    locks = [DatabaseLock(), DatabaseLock(), DatabaseLock()]
    for lock in locks:
        lock.take("sqlite:///:memory:")
    assert list(tmp_path.iterdir()) == []
    locks[0].take("sqlite:///x.db")
    assert [path.name for path in tmp_path.iterdir()] == ["x.db.lock"]
    with pytest.raises(DatabaseLockError, match="Could not acquire lock"):
        locks[1].take("sqlite:///x.db")
    locks[0].release()


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
