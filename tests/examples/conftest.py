"""The programs in ``examples/``, each started as its reader would, on the emulator and on a real ComfyUI."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.engines import ENGINES, NODES, EngineUnderTest, prepare, private_environment, with_small_frontend
from examples.desk import Desk, workflow
from PIL import Image
from ports import first_port

_PORTS = {"emulator": first_port(19088), "comfyui": first_port(19188)}


@pytest.fixture(scope="session", autouse=True)
def private_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals and caches go to a folder of the session's own; settings in the environment do not count."""
    with private_environment(tmp_path_factory.mktemp("state")):
        yield


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EngineUnderTest:
    """The engine under test, with nodes that stand in for a model's; not started."""
    made = prepare(request.param, tmp_path_factory.mktemp(request.param), initial_port=_PORTS[request.param])
    if not made.real:
        made.settings["api_command_line"] += f" --extra-nodes {shlex.quote(str(NODES / 'painting_nodes.py'))}"
    return with_small_frontend(made)


@pytest.fixture
def desk(engine: EngineUnderTest, tmp_path: Path) -> Iterator[Desk]:
    """A folder with ``workflow.json``, whose picture comes from a text, and ``from_photo.json``, also from a photo."""
    made = Desk(tmp_path, engine)
    (tmp_path / "workflow.json").write_text(json.dumps(workflow()))
    (tmp_path / "from_photo.json").write_text(json.dumps(workflow(from_photo=True)))
    Image.new("RGB", (24, 16), "navy").save(tmp_path / "photo.png")
    yield made
    made.end()
