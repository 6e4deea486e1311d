"""The folder of values in ComfyUI's process: its limits, its nodes, and its end."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from discomfort.context.codecs import encode
from discomfort.context.exchange import TOKEN, VALUES, VARIABLE, Handshake, RemoteLimits, is_token
from discomfort.exceptions import ConfigurationError, DamagedDataError, StateError, UnsupportedValueError
from discomfort.nodes import NODE_CLASS_MAPPINGS, own_folder, server_values, value_routes
from discomfort.nodes.own_folder import OwnFolder, remove_abandoned_folders
from discomfort.nodes.value_folder import PIECE, FolderLimits, ValueFolder

LARGE = np.ones((1, 32, 32, 3), np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ValueFolder:
    """One that the nodes of this process use."""
    monkeypatch.delenv(VARIABLE, raising=False)
    made = ValueFolder(tmp_path, FolderLimits())
    monkeypatch.setattr(server_values, "offered_folder", lambda: made)
    return made


def saved(value: Any) -> dict[str, Any]:
    """The record of a saver for a client that fetches."""
    saver = NODE_CLASS_MAPPINGS["DiscomfortContextSaver"]()
    told = saver.save_output(unique_id=["x"], input_data=[value], is_remote=[True], nonce=["0" * 32])
    record: dict[str, Any] = told["ui"]["discomfort"][0]
    return record


def loaded(**inputs: Any) -> Any:
    """What a loader gives."""
    ((value,),) = NODE_CLASS_MAPPINGS["DiscomfortContextLoader"]().load_data(run_id="", unique_id="x", **inputs)
    return value


def test_nodes(folder: ValueFolder) -> None:
    """A saver stores a value under its digest, once; a loader finds it by that."""
    first, second = saved(LARGE), saved(LARGE.copy())
    assert first == second
    assert (first["storage"], first["blob"]) == ("remote", first["digest"])
    assert [path.name for path in folder.path.iterdir()] == [first["blob"]]
    assert hashlib.sha256((folder.path / first["blob"]).read_bytes()).hexdigest() == first["blob"]
    assert np.array_equal(np.asarray(loaded(digest=first["digest"], codec="tensors")), LARGE)
    assert saved(3)["text"] == "3"


def test_lost_value(folder: ValueFolder) -> None:
    """The error says what may have happened, and what helps."""
    with pytest.raises(StateError, match=r"is gone: nobody used it for 24 hours, or others .* DISCOMFORT_VALUES_GB"):
        loaded(digest="0" * 64, codec="tensors")
    with pytest.raises(StateError, match="belongs to a Discomfort run"):
        loaded(digest="../" * 21 + "x", codec="tensors")
    for name in ("", "../x", "0" * 63, "G" * 64):
        with pytest.raises(DamagedDataError, match="is not the digest of a value"):
            folder.read(name)


def test_server_without_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A saver that should use them says what is missing."""
    monkeypatch.delenv(TOKEN, raising=False)
    with pytest.raises(StateError, match="DISCOMFORT_TOKEN is not in its environment"):
        saved(LARGE)


def test_too_large_a_value(folder: ValueFolder) -> None:
    """The saver raises, with the remedy."""
    small = ValueFolder(folder.path, FolderLimits(largest=1000))
    with pytest.raises(UnsupportedValueError, match="DISCOMFORT_LARGEST_VALUE_GB"):
        small.save(encode(LARGE))


@pytest.mark.parametrize(("environment", "limits"), [
    ({}, FolderLimits(4 * 10**9, 16 * 10**9, 86400.0)),
    ({"DISCOMFORT_VALUES_GB": "2", "DISCOMFORT_VALUES_HOURS": "0.5"}, FolderLimits(2 * 10**9, 2 * 10**9, 1800.0)),
    ({"DISCOMFORT_LARGEST_VALUE_GB": "0.001"}, FolderLimits(10**6, 16 * 10**9, 86400.0)),
])  # fmt: skip
def test_limits_of_the_environment(environment: dict[str, str], limits: FolderLimits) -> None:
    """Each can be set, and clients are told."""
    assert FolderLimits.of_environment(environment) == limits
    assert Handshake(1, (), limits.told).as_json()["remote"] == {"largest": limits.told.largest, "piece": PIECE}


@pytest.mark.parametrize("text", ["-1", "0", "x", "nan", "1e9", "1,5", "9" * 20])
def test_wrong_limits(text: str) -> None:
    """Anything else is an error with its name."""
    with pytest.raises(ConfigurationError, match="DISCOMFORT_VALUES_GB"):
        FolderLimits.of_environment({"DISCOMFORT_VALUES_GB": text})


@pytest.mark.parametrize("facts", [
    None, [], {}, {"largest": 1}, {"largest": True, "piece": 1}, {"largest": 1, "piece": 0},
    {"largest": "1", "piece": 1}, {"largest": 1 << 60, "piece": 1},
], ids=str)  # fmt: skip
def test_other_limits_are_none(facts: Any) -> None:
    """What a server tells is not trusted."""
    assert RemoteLimits.of_json(facts) is None


@pytest.mark.parametrize(("text", "is_one"), [
    ("x" * 16, True), ("x" * 15, False), ("x" * 513, False), ("x" * 20 + " ", False), ("ü" * 20, False),
    ("x" * 20 + "\n", False), (None, False),
])  # fmt: skip
def test_tokens(text: object, is_one: bool) -> None:
    """Long enough, and fit for a header."""
    assert is_token(text) is is_one


class FakeServer:
    """ComfyUI's server, as far as packs see it."""

    def __init__(self) -> None:
        self.routes = web.RouteTableDef()

    @property
    def paths(self) -> list[str]:
        """Of the routes."""
        return [route.path for route in self.routes if isinstance(route, web.RouteDef)]


@pytest.fixture
def comfyui(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeServer:
    """This process as ComfyUI's."""
    server = FakeServer()
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return server


def test_offer(comfyui: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes exist if there is a token, once, also where two copies of the nodes are loaded; both use one folder."""
    for text in ("", "short"):
        monkeypatch.setenv(TOKEN, text)
        value_routes.offer_routes()
        assert comfyui.paths == []
        assert value_routes.offered_folder() is None
    monkeypatch.setenv(TOKEN, "x" * 16)
    assert server_values.handshake().remote is None
    for _ in range(2):
        value_routes.offer_routes()
        assert comfyui.paths == [VALUES, *[VALUES + "/{digest}"] * 3]
    found = value_routes.offered_folder()
    assert found is not None
    assert found.path.stat().st_mode & 0o777 == 0o700
    assert server_values.handshake().remote == FolderLimits.of_environment({}).told


def test_wrong_settings_of_a_server(
    comfyui: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The nodes load all the same; the log says why there are no routes, and shows no token."""
    monkeypatch.setenv(TOKEN, "a secret of ours")
    value_routes.offer_routes()
    monkeypatch.setenv(TOKEN, "a-secret-of-ours-")
    monkeypatch.setenv("DISCOMFORT_VALUES_GB", "many")
    value_routes.offer_routes()
    assert comfyui.paths == []
    assert value_routes.offered_folder() is None
    assert caplog.text.count("the server has no routes for values") == 2
    assert "of ours" not in caplog.text
    assert "of-ours" not in caplog.text


def test_folders_of_dead_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Are removed by the next one; those of living processes, and what is not ours, stay."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "from discomfort.nodes.own_folder import OwnFolder; import os; print(OwnFolder().path, flush=True); os._exit(9)"
    )
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, env=environment, text=True, capture_output=True, timeout=60, check=False)
    dead = Path(done.stdout.strip())
    living = OwnFolder()
    (tmp_path / "discomfort-values-other").mkdir()
    (tmp_path / "discomfort-values-link").symlink_to(dead)
    assert dead.is_dir(), done.stderr

    remove_abandoned_folders()

    assert not dead.exists()
    assert (living.path / own_folder._OWNER).exists()
    assert {"discomfort-values-other", "discomfort-values-link"} < {path.name for path in tmp_path.iterdir()}
    living.close()
    living.close()
    assert not living.path.exists()
