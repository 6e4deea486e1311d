"""How an owned server gets the node pack: by options alone, and only where orchestration asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.server.test_engines import OPTIONS, make_comfyui

from discomfort.discovery import node_pack
from discomfort.discovery.engines import EngineRequest, resolve_engine

KNOWN = frozenset({*OPTIONS, "--extra-model-paths-config", "--whitelist-custom-nodes", "--disable-all-custom-nodes"})
PATHS = ["--extra-model-paths-config", str(node_pack.FOLDER / "paths.yaml")]


def test_folder_has_nothing_else() -> None:
    """ComfyUI loads every folder and Python file of it."""
    names = {path.name for path in node_pack.FOLDER.iterdir()} - {"__pycache__"}
    assert names == {node_pack.NAME, "paths.yaml"}
    assert (node_pack.FOLDER / node_pack.NAME / "__init__.py").is_file()


def test_paths_are_relative() -> None:
    """ComfyUI takes them as relative to the file, so no path of ours is in it, whatever characters it has."""
    lines = (node_pack.FOLDER / "paths.yaml").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["discomfort:", "    custom_nodes: ."]


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        ("", []),
        ("--cpu --whitelist-custom-nodes a", []),
        ("--disable-all-custom-nodes", ["discomfort_nodes"]),
        ("--disable-all-custom-nodes --whitelist-custom-nodes a b --cpu", ["a", "b", "discomfort_nodes"]),
        ("--whitelist-custom-nodes a --disable-all-custom-nodes --whitelist-custom-nodes=b", ["b", "discomfort_nodes"]),
        ("--disable-all-c --white a", ["a", "discomfort_nodes"]),
    ],
)
def test_options_of_comfyui(words: str, listed: list[str]) -> None:
    """The pack is listed where the user switched all others off, beside those that the user listed."""
    added = node_pack.comfyui_options(words.split(), KNOWN)
    assert added == [*PATHS, *(["--whitelist-custom-nodes", *listed] if listed else [])]


def test_option_that_is_not_known() -> None:
    """A ComfyUI without the option gets nothing that it would refuse."""
    assert node_pack.comfyui_options(["--cpu"], frozenset(OPTIONS)) == []


@pytest.mark.parametrize("loads_nodes", [True, False])
def test_command_of_comfyui(tmp_path: Path, loads_nodes: bool) -> None:
    """The option comes beside the user's own, which may be the same; without the request nothing is added."""
    comfyui = make_comfyui(tmp_path / "ComfyUI", options=tuple(KNOWN))
    request = EngineRequest(
        "comfyui", comfyui, "python3 main.py --extra-model-paths-config mine.yaml", None, None, None, tmp_path, {},
        server_arguments=("--cpu",), loads_nodes=loads_nodes,
    )  # fmt: skip
    engine = resolve_engine(request)
    engine.discard()
    words = list(engine.argv)
    assert words[2:4] == ["--extra-model-paths-config", "mine.yaml"]
    assert (words[5:7] == PATHS) is loads_nodes
    assert (PATHS[1] in words) is loads_nodes


@pytest.mark.parametrize("loads_nodes", [True, False])
@pytest.mark.parametrize("command", [None, "discomfort serve --cpu"])
def test_command_of_the_emulator(tmp_path: Path, command: str | None, loads_nodes: bool) -> None:
    """It has an option for such folders, which can be repeated."""
    request = EngineRequest(
        "emulator", None, command, None, None, None, tmp_path, {}, loads_nodes=loads_nodes,
        server_arguments=("--custom-node-directory", "mine"),
    )  # fmt: skip
    engine = resolve_engine(request)
    engine.discard()
    words = list(engine.argv)
    folders = [words[at + 1] for at, word in enumerate(words) if word == "--custom-node-directory"]
    assert folders == ["mine", *([str(node_pack.FOLDER)] if loads_nodes else [])]
