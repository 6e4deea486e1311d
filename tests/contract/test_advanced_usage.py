"""The documentation's complete example, as it stands, import line included, in a ComfyUI folder."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from contract.engines import REPOSITORY, EngineUnderTest
from PIL import Image
from ports import first_port

from discomfort import ComfyConnector

EXAMPLE = Path(__file__).with_name("advanced_usage.txt")


def loading_workflow() -> dict[str, Any]:
    """LoadImage → ImageInvert → SaveImage, as the UI saves it."""

    def entry(number: int, kind: str, inputs: list[Any], outputs: list[Any], widgets: list[Any]) -> dict[str, Any]:
        return {
            "id": number, "type": kind, "pos": [300 * number, 0], "size": [250, 100], "flags": {}, "order": number,
            "mode": 0, "inputs": inputs, "outputs": outputs, "properties": {"Node name for S&R": kind},
            "widgets_values": widgets,
        }  # fmt: skip

    image = {"name": "IMAGE", "type": "IMAGE", "slot_index": 0}
    mask = {"name": "MASK", "type": "MASK", "links": None}
    return {
        "last_node_id": 3,
        "last_link_id": 2,
        "nodes": [
            entry(1, "LoadImage", [], [{**image, "links": [1]}, mask], ["example.png", "image"]),
            entry(2, "ImageInvert", [{"name": "image", "type": "IMAGE", "link": 1}], [{**image, "links": [2]}], []),
            entry(3, "SaveImage", [{"name": "images", "type": "IMAGE", "link": 2}], [], ["advanced/result"]),
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def furnish(engine: EngineUnderTest) -> Path:
    """What the example expects beside it; returns its path."""
    home = engine.home
    pack = home / "custom_nodes" / "discomfort"
    pack.parent.mkdir(exist_ok=True)
    if not pack.exists():
        pack.symlink_to(REPOSITORY)
    (home / "input_images").mkdir()
    for number, colour in enumerate(((250, 0, 0), (0, 250, 0))):
        Image.new("RGB", (16, 16), colour).save(home / "input_images" / f"photo_{number}.jpg", quality=100)
    (home / "complex_workflow.json").write_text(json.dumps(loading_workflow()))
    config = {**engine.config(), "INITIAL_PORT": first_port(18688)}
    (home / "my_comfy_config.json").write_text(json.dumps(config))
    script = home / "advanced_usage.py"
    script.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return script


@pytest.mark.browser
async def test_documented_example_runs_as_it_stands(engine: EngineUnderTest) -> None:
    """Every picture is processed, the resources are healthy, and nothing of the uploads is left."""
    script = furnish(engine)
    process = await asyncio.create_subprocess_exec(
        sys.executable, script.name, cwd=engine.home,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, (text, err.decode())
    assert "Final results: 2 successful executions" in text, (text, err.decode())
    assert "Processed 2/2 images successfully" in text
    assert "All resources healthy after processing" in text
    assert "Cleanup completed" in text
    results = sorted((engine.home / "output" / "advanced").glob("result_*.png"))
    colours = []
    for path in results:
        with Image.open(path) as image:
            colours.append(image.convert("RGB").getpixel((8, 8)))
    assert sorted(max(colour) > 200 and min(colour) < 60 for colour in colours) == [True, True]
    assert len(set(colours)) == 2
    assert not (engine.home / "input" / "batch").exists()


async def test_folder_loads_as_a_node_pack_without_complaint(
    connector: ComfyConnector, engine: EngineUnderTest
) -> None:
    """ComfyUI imports the repository in its custom_nodes folder like any pack; the emulator does not mind it."""
    supervisor = connector._parts.supervisor
    assert supervisor is not None
    log = "\n".join(supervisor.log_tail(500))
    assert "IMPORT FAILED" not in log
    if engine.real:
        assert "custom_nodes/discomfort" in log
