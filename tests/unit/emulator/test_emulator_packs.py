"""Custom node packs in plain Python, and latents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfyui_emulator import runtime
from comfyui_emulator.nodes.latents import arithmetic, empty, latent_files
from comfyui_emulator.nodes.latents import resizing as latents
from comfyui_emulator.nodes.latents.tensorfile import SafetensorError, read_tensors, write_tensors

N = Any

PACK = """
from .helper import double

class Doubled:
    RETURN_TYPES = ("INT",)
    FUNCTION = "go"
    CATEGORY = "mine"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 1})}}

    def go(self, value):
        return (double(value),)

NODE_CLASS_MAPPINGS = {"Doubled": Doubled, "ImageInvert": Doubled}
NODE_DISPLAY_NAME_MAPPINGS = {"Doubled": "Twice"}
WEB_DIRECTORY = "./js"
"""


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    """A folder with a good pack, broken ones, and things that are not packs."""
    folder = tmp_path / "custom_nodes"
    good = folder / "good"
    (good / "js").mkdir(parents=True)
    (good / "js" / "x.js").write_text("export {}")
    (good / "__init__.py").write_text(PACK)
    (good / "helper.py").write_text("def double(value):\n    return value * 2\n")
    (folder / "needs.py").write_text("import a_module_that_is_not_there\n")
    (folder / "newer.py").write_text("async def comfy_entrypoint():\n    return None\n")
    (folder / "off.disabled").mkdir()
    (folder / "notes.txt").write_text("")
    return folder


async def test_packs_are_loaded_and_broken_ones_left_out(
    launch: N, make: N, packs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pack's nodes and scripts are served; a pack that fails to import is logged, and harms nothing."""
    async with launch(custom_nodes=(packs,)) as client:
        graph = {"1": make("Doubled", value=21), "2": make("PreviewAny", source=["1", 0])}
        _, record = await client.run(graph)
        info = (await client.get("/object_info/Doubled"))["Doubled"]
        built_in = (await client.get("/object_info/ImageInvert"))["ImageInvert"]
        scripts = await client.get("/extensions")
        async with client.http.get("/extensions/good/x.js") as answer:
            script = await answer.text()
        async with client.http.get("/extensions/good/..%2F__init__.py") as answer:
            outside = answer.status

    assert record["outputs"]["2"] == {"text": ["42"]}
    assert (info["display_name"], info["python_module"], info["category"]) == ("Twice", "custom_nodes.good", "mine")
    assert built_in["output"] == ["IMAGE"]
    assert "/extensions/good/x.js" in scripts
    assert (script, outside) == ("export {}", 404)
    assert "needs.py (IMPORT FAILED): ModuleNotFoundError" in caplog.text
    assert "newer.py (IMPORT FAILED)" in caplog.text


def test_latents_are_saved_and_loaded(tmp_path: Path) -> None:
    """A saved latent loads unchanged, with its metadata in the header."""
    folders = runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path)
    array = np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)
    with runtime.using(runtime.NodeContext(folders)):
        saved = latent_files.save_latent({"samples": array}, "x", {"1": {}}, None)
        name = saved["ui"]["latents"][0]["filename"]
        (loaded,) = latent_files.load_latent(name)
        assert latent_files._check_latent(name) is True
        assert latent_files._check_latent("../x") == "Invalid latent file: ../x"
        assert latent_files._latent_files() == {"required": {"latent": [[name]]}}

    assert np.array_equal(loaded["samples"], array)
    assert b'"prompt":"{\\"1\\": {}}"' in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 16])
def test_damaged_tensor_files(tmp_path: Path, content: bytes) -> None:
    """Other files raise the library's error."""
    path = tmp_path / "x"
    path.write_bytes(content)

    with pytest.raises(SafetensorError, match="header"):
        read_tensors(path)


def test_unknown_number_types(tmp_path: Path) -> None:
    """The error names a type that is not supported."""
    path = tmp_path / "x"
    write_tensors(path, {"a": np.zeros(2, np.float32)}, None)
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"Q32"'))

    with pytest.raises(ValueError, match="Q32"):
        read_tensors(path)


def test_batches_keep_their_indices() -> None:
    """Cutting, repeating and joining batches carry indices and masks along."""
    base = {"samples": np.zeros((3, 4, 8, 8), np.float32), "noise_mask": np.ones((3, 1, 64, 64), np.float32)}

    (part,) = latents.from_batch(base, 1, 9)
    (twice,) = latents.repeat_batch(part, 2)
    (joined,) = arithmetic.batch(part, base)
    (fixed,) = arithmetic.seed_behavior(joined, "fixed")
    (free,) = arithmetic.seed_behavior(joined, "random")

    assert part["batch_index"] == [1, 2]
    assert part["noise_mask"].shape[0] == 2
    assert twice["batch_index"] == [1, 2, 3, 4]
    assert twice["noise_mask"].shape[0] == 4
    assert joined["batch_index"] == [1, 2, 0, 1, 2]
    assert fixed["batch_index"] == [1] * 5
    assert "batch_index" not in free


def test_video_latents_count_the_first_frame_alone() -> None:
    """25 frames are 7 cells of time, and trimming takes from the front."""
    (latent,) = empty.empty_audio_latent(47.6, 1)
    video = {"samples": np.zeros((1, 16, 7, 4, 4), np.float32)}

    (trimmed,) = arithmetic.trim_video(video, 2)
    (wide,) = latents.upscale(video, "bilinear", 64, 128, "disabled")

    assert latent["samples"].shape == (1, 64, 1024)
    assert trimmed["samples"].shape[2] == 5
    assert wide["samples"].shape == (1, 16, 7, 16, 8)


async def test_saved_definitions_have_the_servers_own_files(launch: N, make: N, tmp_path: Any) -> None:
    """For an implemented node the saved definition wins, except for its lists of files."""
    saved = tmp_path / "info.json"
    image = {"input": {"required": {"image": [["theirs.png"], {"image_upload": True, "new": 1}]}}, "output": ["IMAGE"]}
    video = {"input": {"required": {"file": ["COMBO", {"options": ["theirs.mp4"], "new": 1}]}}, "output": ["VIDEO"]}
    saved.write_text(json.dumps({"LoadImage": image, "LoadVideo": video}))
    async with launch(object_info=saved) as client:
        for name in ("mine.png", "mine.mp4"):
            (client.base / "input" / name).touch()
        infos = await client.get("/object_info")

    assert infos["LoadImage"]["input"]["required"]["image"] == [["mine.png"], {"image_upload": True, "new": 1}]
    assert infos["LoadVideo"]["input"]["required"]["file"] == ["COMBO", {"options": ["mine.mp4"], "new": 1}]
