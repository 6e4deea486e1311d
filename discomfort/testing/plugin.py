"""The pytest plugin: fixtures, options and marker; see :mod:`discomfort.testing`. Imports nothing heavy by itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from discomfort.sync import SyncConnector
    from discomfort.testing.bridge import AsyncConnector
    from discomfort.testing.emulated import EmulatorServer
    from discomfort.testing.servers import ComfyServer, Setup

_MARKER = "comfyui_setup"
_MARKER_KEYS = {"nodes", "object_info", "arguments", "faults"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--comfyui`` and the settings of pytest's configuration."""
    group = parser.getgroup("discomfort", "ComfyUI")
    group.addoption(
        "--comfyui",
        metavar="FOLDER",
        # With a space, pytest would take the folder for one of tests before it knows this option, and its settings.
        help="As --comfyui=FOLDER: the ComfyUI of comfyui_server, or 'emulator' (default: COMFYUI_PATH, else that).",
    )
    parser.addini("comfyui_nodes", "Python files and pack folders whose nodes the servers have.", "paths", [])
    parser.addini("comfyui_object_info", "A saved /object_info for emulators.", "paths", [])
    parser.addini("comfyui_arguments", "Arguments for the servers' command lines (default: --cpu).", "args", ["--cpu"])


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(nodes=, object_info=, arguments=, faults=): what the test's servers have, faults of its emulator",
    )


@pytest.fixture(scope="session")
def comfyui_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """The session's server: a real ComfyUI if configured, else the emulator. Use the fresh one for isolation."""
    real = _named_comfyui(request.config)
    if real is None:
        yield request.getfixturevalue("comfyui_session_emulator")
        return
    from discomfort.testing.servers import real_comfyui

    with _usable(lambda: real_comfyui(real, tmp_path_factory.mktemp("comfyui"), _setup(request.config))) as server:
        yield server


@pytest.fixture
def fresh_comfyui_server(comfyui_server: ComfyServer) -> ComfyServer:
    """The session's server without anything that earlier tests queued, ran, cached or stored."""
    comfyui_server.reset()
    return comfyui_server


@pytest.fixture(scope="session")
def comfyui_session_emulator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmulatorServer]:
    """One emulator for the session, even if a ComfyUI is configured."""
    from discomfort.testing.emulated import EmulatorServer

    base = tmp_path_factory.mktemp("emulator")
    with _usable(lambda: EmulatorServer(base, _setup(request.config))) as server:
        yield server


@pytest.fixture
def comfyui_emulator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmulatorServer]:
    """An emulator for one test, set up by the marker ``comfyui_setup``; ``.faults`` may be changed at any time."""
    from discomfort.testing.emulated import EmulatorServer

    base = tmp_path_factory.mktemp("emulator")
    with _usable(lambda: EmulatorServer(base, _marked(request))) as server:
        yield server


@pytest.fixture(scope="session")
def comfy_session_connector(comfyui_server: ComfyServer) -> Iterator[SyncConnector]:
    """One connector on the session's server; Chromium starts with the first conversion."""
    from discomfort.sync import SyncConnector

    with SyncConnector.attach(comfyui_server.url, browser="lazy") as connector:
        yield connector


@pytest.fixture
def comfy_sync_connector(request: pytest.FixtureRequest) -> Iterator[SyncConnector]:
    """A connector for tests without ``await``: on the test's ``comfyui_emulator`` if it uses one, else on a fresh
    ``comfyui_server``.
    """
    if "comfyui_emulator" not in request.fixturenames and request.node.get_closest_marker(_MARKER) is None:
        request.getfixturevalue("fresh_comfyui_server")
        yield request.getfixturevalue("comfy_session_connector")
        return
    from discomfort.sync import SyncConnector

    emulator: EmulatorServer = request.getfixturevalue("comfyui_emulator")
    with SyncConnector.attach(emulator.url, browser="lazy") as connector:
        yield connector


@pytest.fixture
def comfy_connector(comfy_sync_connector: SyncConnector) -> AsyncConnector:
    """A connector for async tests, with any plugin in any mode; the same server as ``comfy_sync_connector``."""
    from discomfort.testing.bridge import AsyncConnector

    return AsyncConnector(comfy_sync_connector)


@pytest.fixture
def comfy_owned_connector(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SyncConnector]:
    """A connector that starts an emulator process, as ``ComfyConnector.create`` does; that process can really crash.

    There can be only one such connector in a process. Chromium is started only when a workflow is converted.
    """
    import sys

    from discomfort.sync import SyncConnector
    from discomfort.testing.emulated import emulator_words

    base = tmp_path_factory.mktemp("emulator")
    setup = _marked(request)
    if setup.classes:
        raise pytest.UsageError("comfyui_setup: an emulator process loads nodes from files, it cannot take classes")
    faults = [word for name, value in setup.faults.items() for word in ("--fault", f"{name}={value}")]
    words = [sys.executable, "-m", "discomfort", "serve", *emulator_words(setup, base), *faults]
    with SyncConnector.create(engine="emulator", browser="lazy", api_command_line=shlex.join(words)) as connector:
        yield connector


# --- what is configured ----------------------------------------------------------------------------------------------


def _named_comfyui(config: pytest.Config) -> Path | None:
    """The folder of the configured ComfyUI, if any. Raises UsageError for any other folder."""
    given = config.getoption("--comfyui")
    if given is None and os.environ.get("DISCOMFORT_ENGINE") == "emulator":
        return None
    named = given or os.environ.get("COMFYUI_PATH")
    if not named or named == "emulator":
        return None
    path = Path(named).expanduser()
    if not (path / "main.py").is_file():
        source = "--comfyui" if given else "COMFYUI_PATH"
        raise pytest.UsageError(
            f"{source}={named}: that folder has no main.py, so it is not ComfyUI. Name ComfyUI's folder, or use "
            "--comfyui=emulator"
        )
    return path.resolve()


def _setup(config: pytest.Config) -> Setup:
    from discomfort.exceptions import ConfigurationError
    from discomfort.testing.servers import Setup

    object_info = config.getini("comfyui_object_info")
    try:
        return Setup(
            nodes=tuple(config.getini("comfyui_nodes")),
            object_info=object_info[0] if object_info else None,
            arguments=tuple(config.getini("comfyui_arguments")),
        )
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def _marked(request: pytest.FixtureRequest) -> Setup:
    """The session's setup with the additions of the test's markers, outermost first."""
    from discomfort.exceptions import ConfigurationError

    setup = _setup(request.config)
    for marker in reversed(list(request.node.iter_markers(_MARKER))):
        unknown = sorted(set(marker.kwargs) - _MARKER_KEYS)
        if marker.args or unknown:
            wrong = f"{unknown[0]!r}" if unknown else "an argument without a name"
            raise pytest.UsageError(f"{_MARKER} does not accept {wrong}, but {', '.join(sorted(_MARKER_KEYS))}")
        nodes = marker.kwargs.get("nodes", ())
        classes = nodes if isinstance(nodes, Mapping) else {}
        object_info = marker.kwargs.get("object_info")
        try:
            setup = setup.with_more(
                nodes=[] if classes else [_path(request, node) for node in _several(nodes)],
                classes=classes,
                object_info=None if object_info is None else _path(request, object_info),
                arguments=shlex.split(a) if isinstance(a := marker.kwargs.get("arguments", ()), str) else a,
                faults=marker.kwargs.get("faults"),
            )
        except ConfigurationError as error:
            raise pytest.UsageError(f"{_MARKER}: {error}") from error
    return setup


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | os.PathLike) else list(value)


def _path(request: pytest.FixtureRequest, value: str | os.PathLike[str]) -> Path:
    """A path of a marker: relative to the test's file."""
    return request.path.parent / value


def _usable(make: Any) -> Any:
    """The result of ``make()``; a wrong configuration is a usage error, without a traceback through this plugin."""
    from discomfort.exceptions import ConfigurationError

    try:
        return make()
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error
