"""The engines that the contract suite runs against, ready to be started."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from discomfort.discovery.locations import search

REPOSITORY = Path(__file__).resolve().parents[2]
NODES = REPOSITORY / "tests" / "nodes"
PACKS = REPOSITORY / "tests" / "packs"
SMALL_FRONTEND = REPOSITORY / "tests" / "small_frontend"
"""As much of a frontend as conversions of simple workflows need; a page of it loads in a tenth of the time."""


def _real_comfyui() -> Path | None:
    """``COMFYUI_PATH``, else a ComfyUI in the usual places."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        return Path(named)
    place, _ = search(Path.cwd(), os.environ)
    return place.path if place is not None else None


REAL = _real_comfyui()
ENGINES = [pytest.param("emulator", id="emulator")]
"""Parameters of the fixtures that take each engine."""
if REAL is not None:
    ENGINES.append(pytest.param("comfyui", id="comfyui", marks=pytest.mark.comfyui))


@dataclass(frozen=True)
class EngineUnderTest:
    """An engine that tests can start: ``settings`` are the arguments of ``create``, ``home`` its base folder."""

    kind: str
    home: Path
    settings: dict[str, Any] = field(repr=False)

    @property
    def real(self) -> bool:
        """Whether this is ComfyUI itself."""
        return self.kind == "comfyui"

    def config(self) -> dict[str, Any]:
        """The same settings as a configuration file has them."""
        return {key.upper(): str(value) if isinstance(value, Path) else value for key, value in self.settings.items()}


@contextmanager
def private_environment(state: Path) -> Iterator[None]:
    """Journals and caches go below ``state``; settings that the environment has do not count."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DISCOMFORT_")]:
            patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(state / "state"))
        patch.setenv("XDG_CACHE_HOME", str(state / "cache"))
        # A cache that torch shares between all its processes, in the temporary folder where nothing else is said.
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(state / "torch"))
        yield


def with_small_frontend(engine: EngineUnderTest) -> EngineUnderTest:
    """The engine with the small frontend where it is the emulator; a real ComfyUI keeps its own."""
    if engine.real:
        return engine
    command = f"{engine.settings['api_command_line']} --front-end-root {shlex.quote(str(SMALL_FRONTEND))}"
    return replace(engine, settings={**engine.settings, "api_command_line": command})


def prepare(kind: str, home: Path, *, initial_port: int) -> EngineUnderTest:
    """An engine of that kind with the test nodes, based in ``home``, not started."""
    if kind == "emulator":
        return emulator_home(home, initial_port=initial_port)
    if REAL is None:
        raise AssertionError("this parameter exists only where there is a ComfyUI")
    return comfyui_home(home, REAL, initial_port=initial_port)


def emulator_home(home: Path, *, initial_port: int) -> EngineUnderTest:
    """An emulator with the test nodes, based in ``home``."""
    command = [sys.executable, "-m", "discomfort", "serve", "--base-directory", str(home)]
    command += ["--extra-nodes", str(NODES / "contract_nodes.py"), "--custom-node-directory", str(PACKS)]
    command += ["--extra-nodes", str(NODES / "standin_nodes.py")]
    settings = {
        "engine": "emulator",
        "emulator_directory": home,
        "api_command_line": shlex.join(command),
        "initial_port": initial_port,
    }
    return EngineUnderTest("emulator", home, settings)


def comfyui_home(home: Path, real: Path, *, initial_port: int) -> EngineUnderTest:
    """A private copy of a ComfyUI tree with the test nodes; the tree itself is only read."""
    left_out = {".git", ".venv", "venv", "models", "input", "output", "temp", "user", "tests", "tests-unit"}
    shutil.copytree(
        real,
        home,
        ignore=lambda folder, names: left_out & set(names) if Path(folder) == real else (),
        dirs_exist_ok=True,
        symlinks=True,
    )
    for folder in ("models/checkpoints", "models/loras", "input", "output", "user"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for name in (".venv", "venv"):
        if (real / name).exists():
            (home / name).symlink_to((real / name).resolve())
            break
    extra = home / "contract_paths.yaml"
    extra.write_text(f"contract:\n  base_path: {NODES.parent}\n  custom_nodes: |\n    {NODES.name}\n    {PACKS.name}\n")
    (home / "custom_nodes" / "discomfort").symlink_to(REPOSITORY)
    settings = {
        "engine": "comfyui",
        "comfyui_path": home,
        "api_command_line": f"python3 main.py --cpu --extra-model-paths-config {shlex.quote(str(extra))}",
        "initial_port": initial_port,
    }
    return EngineUnderTest("comfyui", home, settings)
