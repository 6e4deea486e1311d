"""Loaders and savers: names, counters, tokens, metadata, formats, and paths that are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfyui_emulator import runtime
from comfyui_emulator.folders import OutsideError, contained, next_save_path, split_annotation
from comfyui_emulator.nodes.images import files

N = Any


@pytest.fixture
def folders(tmp_path: Path) -> runtime.Folders:
    """Four empty folders."""
    made = runtime.Folders(*(tmp_path / name for name in ("input", "output", "temp", "user")))
    for path in (made.input, made.output, made.temp, made.user):
        path.mkdir()
    return made


@pytest.fixture
def inside(folders: runtime.Folders) -> Any:
    """A node's context."""
    with runtime.using(runtime.NodeContext(folders)) as context:
        yield context


def test_counter_follows_the_highest_name(folders: runtime.Folders) -> None:
    """Gaps stay unused, extensions do not matter, other prefixes do not count."""
    for name in ("a_00001_.png", "a_00007_.webp", "ab_00009_.png", "a_x.png"):
        (folders.output / name).touch()

    assert next_save_path("a", folders.output)[1:] == ("a", 8, "")


def test_counter_notices_files_of_others(inside: N, folders: runtime.Folders) -> None:
    """A file that somebody else wrote between two saves is never overwritten."""
    pixels = np.zeros((1, 2, 2, 3), np.float32)
    saver = files._Saver()
    saver.save(pixels, "a")
    (folders.output / "a_00002_.png").write_bytes(b"theirs")

    saved = saver.save(pixels, "a")

    assert saved["ui"]["images"][0]["filename"] == "a_00003_.png"
    assert (folders.output / "a_00002_.png").read_bytes() == b"theirs"


def test_tokens_in_names(inside: N, folders: runtime.Folders) -> None:
    """Size, date and batch number are replaced; a batch number takes the counter's place and overwrites."""
    pixels = np.zeros((2, 3, 5, 3), np.float32)

    saved = files._Saver().save(pixels, "sub/%width%x%height%_%batch_num%_%date:yy%")
    again = files._Saver().save(pixels, "sub/%width%x%height%_%batch_num%_%date:yy%")

    names = [entry["filename"] for entry in saved["ui"]["images"]]
    assert names == ["5x3_0_%date:yy%_00001_.png", "5x3_1_%date:yy%_00002_.png"]
    assert again == saved
    assert {entry["subfolder"] for entry in saved["ui"]["images"]} == {"sub"}
    assert sorted(path.name for path in (folders.output / "sub").iterdir()) == names


@pytest.mark.parametrize("prefix", ["../x", "/etc/x", "a/../../x"])
def test_prefix_must_stay_inside(inside: N, prefix: str) -> None:
    """A prefix that leaves the output folder is refused."""
    with pytest.raises(OutsideError, match="outside the output folder"):
        files._Saver().save(np.zeros((1, 2, 2, 3), np.float32), prefix)


def test_png_carries_prompt_and_workflow(inside: N, folders: runtime.Folders) -> None:
    """The prompt and every entry of ``extra_pnginfo`` are text chunks of the file."""
    saved = files._Saver().save(np.zeros((1, 2, 2, 3), np.float32), "a", {"1": {}}, {"workflow": {"é": 1}})

    with Image.open(folders.output / saved["ui"]["images"][0]["filename"]) as picture:
        assert picture.text == {"prompt": '{"1": {}}', "workflow": json.dumps({"é": 1})}


def test_metadata_can_be_switched_off(folders: runtime.Folders) -> None:
    """Without metadata, the file has no text."""
    with runtime.using(runtime.NodeContext(folders, metadata=False)):
        saved = files._Saver().save(np.zeros((1, 2, 2, 3), np.float32), "a", {"1": {}}, {})

    with Image.open(folders.output / saved["ui"]["images"][0]["filename"]) as picture:
        assert picture.text == {}


def test_animations(inside: N, folders: runtime.Folders) -> None:
    """Both animated savers write all frames, with their time and the prompt."""
    frames = np.stack([np.full((4, 4, 3), level, np.float32) for level in (0.0, 0.5, 1.0)])

    webp = files.save_animated_webp(frames, 8.0, "w", True, 80, "default", {"1": {}}, {"workflow": {}})
    png = files.save_animated_png(frames, 8.0, 4, "p", {"1": {}}, None)

    assert (webp["ui"]["animated"], png["ui"]["animated"]) == ((True,), (True,))
    with Image.open(folders.output / webp["ui"]["images"][0]["filename"]) as picture:
        assert (picture.n_frames, picture.getexif()[0x0110]) == (3, 'prompt:{"1": {}}')
        assert picture.getexif()[0x010F] == "workflow:{}"
    with Image.open(folders.output / png["ui"]["images"][0]["filename"]) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (3, 125)
    assert b'comfprompt\0{"1": {}}' in (folders.output / png["ui"]["images"][0]["filename"]).read_bytes()


@pytest.mark.parametrize(("turn", "corner"), [(1, (0, 0)), (3, (1, 2)), (6, (0, 1)), (8, (2, 0))])
def test_loader_turns_photos_upright(inside: N, folders: runtime.Folders, turn: int, corner: tuple[int, int]) -> None:
    """The orientation of a photo is applied: the bright corner is where it belongs."""
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(folders.input / "p.png", exif=exif)

    picture, _ = files.load_image("p.png")

    assert picture[0, corner[0], corner[1], 0] == 1


@pytest.mark.parametrize(
    ("mode", "shape", "value"),
    [("RGB", (1, 64, 64), 0), ("RGBA", (1, 32, 32), 0.5), ("LA", (1, 32, 32), 0.5), ("L", (1, 64, 64), 0)],
)
def test_mask_of_a_loaded_image(inside: N, folders: runtime.Folders, mode: str, shape: Any, value: float) -> None:
    """The mask is 1 where the image is transparent, or 64 x 64 zeros."""
    picture = Image.new("RGBA", (32, 32), (10, 20, 30, 127)).convert(mode)
    picture.save(folders.input / "p.png")

    _, mask = files.load_image("p.png")

    assert mask.shape == shape
    assert mask.max() == pytest.approx(value, abs=0.01)


def test_frames_become_a_batch(inside: N, folders: runtime.Folders) -> None:
    """All frames of an animation are loaded."""
    frames = [Image.new("RGB", (4, 4), (level, 0, 0)) for level in (0, 100, 200)]
    frames[0].save(folders.input / "a.webp", save_all=True, append_images=frames[1:], lossless=True)

    picture, _ = files.load_image("a.webp")

    assert np.rint(picture[:, 0, 0, 0] * 255).tolist() == [0, 100, 200]


def test_truncated_file_gives_what_is_there(inside: N, folders: runtime.Folders) -> None:
    """A truncated file loads in part."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    (folders.input / "cut.png").write_bytes(buffer.getvalue()[:-800])

    picture, _ = files.load_image("cut.png")

    assert picture.shape == (1, 32, 32, 3)
    assert np.array_equal(np.rint(picture[0, 0] * 255).astype(np.uint8), noise[0])


@pytest.mark.parametrize("name", ["../x.png", "/etc/hostname", "a/../../x.png", "link.png", "nul\0.png"])
def test_loader_refuses_to_leave_its_folder(inside: N, folders: runtime.Folders, tmp_path: Path, name: str) -> None:
    """Paths that would leave the input folder are unknown files to validation, and errors to execution."""
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    (folders.input / "link.png").symlink_to(tmp_path / "x.png")

    assert files._check(name) == f"Invalid image file: {name}"
    with pytest.raises(ValueError, match="Invalid file path"):
        files.load_image(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png [output]", ("a.png", "output")), ("a.png", ("a.png", None)), ("a [b].png", ("a [b].png", None))],
)
def test_annotation(name: str, expected: tuple[str, str | None]) -> None:
    """A suffix names the folder type."""
    assert split_annotation(name) == expected


def test_containment(tmp_path: Path) -> None:
    """A folder contains itself and everything below, and nothing else."""
    assert contained(tmp_path) == tmp_path.resolve()
    assert contained(tmp_path, "a", "b") == tmp_path.resolve() / "a" / "b"
    assert contained(tmp_path, "..") is None
    assert contained(tmp_path, "\0") is None


async def test_changed_file_is_loaded_again(emulator: N, make: N) -> None:
    """New content re-runs the loader; the token is in the saved prompt, not in the history's."""
    path = emulator.base / "input" / "p.png"
    Image.new("RGB", (2, 2), (1, 2, 3)).save(path)
    graph = {"1": make("LoadImage", image="p.png"), "2": make("SaveImage", images=["1", 0], filename_prefix="x")}
    await emulator.run(graph)
    same, _ = await emulator.run(graph)
    Image.new("RGB", (2, 2), (9, 9, 9)).save(path)

    events, record = await emulator.run(graph)

    assert same[1][1]["nodes"] == ["1", "2"]
    assert events[1][1]["nodes"] == []
    assert "is_changed" not in record["prompt"][2]["1"]
    with Image.open(emulator.base / "output" / record["outputs"]["2"]["images"][0]["filename"]) as picture:
        assert "is_changed" in json.loads(picture.text["prompt"])["1"]


async def test_images_over_the_socket(emulator: N, make: N, make_image: N) -> None:
    """SaveImageWebsocket sends PNG previews, and its progress never shows the last step."""
    events, record = await emulator.run({"1": make_image(batch=2), "2": make("SaveImageWebsocket", images=["1", 0])})

    frames = [data for kind, data in events if kind == "binary"]
    assert [frame[:12] for frame in frames] == [bytes.fromhex("00000001 00000002 89504e47")] * 2
    assert [data["value"] for kind, data in events if kind == "progress"] == [0, 1]
    assert record["outputs"] == {}


async def test_previews_have_a_name_per_node(emulator: N, make: N, make_image: N) -> None:
    """Preview files of two nodes have different prefixes; a node keeps its own from prompt to prompt."""
    graph = {
        "1": make_image(1),
        "2": make("PreviewImage", images=["1", 0]),
        "3": make_image(2),
        "4": make("PreviewImage", images=["3", 0]),
    }
    _, first = await emulator.run(graph)
    graph["1"]["inputs"]["color"] = 3
    _, second = await emulator.run(graph)

    def prefix(record: Any, node_id: str) -> str:
        return str(record["outputs"][node_id]["images"][0]["filename"][:18])

    assert prefix(first, "2") == prefix(second, "2")
    assert prefix(first, "2") != prefix(first, "4")
