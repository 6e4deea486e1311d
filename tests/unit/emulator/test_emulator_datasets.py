"""Datasets: what is loaded from folders, what is written there, and how lists are treated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from comfyui_emulator import runtime
from comfyui_emulator.nodes.base import BUILT_IN
from comfyui_emulator.nodes.datasets import clips, pictures, storage, texts
from comfyui_emulator.nodes.media.films import Video

N = Any


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """A node's context; all folders are the same."""
    with runtime.using(runtime.NodeContext(runtime.Folders(tmp_path, tmp_path, tmp_path, tmp_path))) as here:
        yield here.folders


def flat(level: float, side: int = 8) -> Any:
    """A grey picture."""
    return np.full((1, side, side, 3), level, np.float32)


def test_a_folder_is_a_list(folders: runtime.Folders) -> None:
    """Pictures come with the texts beside them, those in a numbered folder as often as its number says."""
    inner = folders.input / "set" / "3_cats"
    inner.mkdir(parents=True)
    Pillow.new("RGB", (4, 6), "red").save(inner / "b.png")
    (inner / "b.txt").write_text(" a cat \n")
    Pillow.new("L", (5, 5), 7).save(inner.parent / "a.jpg")

    images, words = storage.load_pictures_and_texts("set")

    assert storage.subfolders() == ["set", "set/3_cats"]
    assert sorted(zip([image.shape[1] for image in images], words, strict=True)) == [(5, ""), *[(6, "a cat")] * 3]
    assert [image.shape for image in storage.load_pictures("set")[0]] == [(1, 5, 5, 3)]
    with pytest.raises(ValueError, match="No video files found in"):
        storage.load_films("set")
    with pytest.raises(ValueError, match="resolves outside of"):
        storage.load_pictures("../other")


def test_pictures_and_texts_are_saved(folders: runtime.Folders) -> None:
    """Names are counted from 0; ``increment`` counts runs as well, instead of overwriting."""
    for mode in ("overwrite", "overwrite", "increment", "increment"):
        storage.save_pictures([flat(0.2), flat(0.4)], ["out"], ["x"], [mode], ["one", "two"])

    names = sorted(path.name for path in (folders.output / "out").glob("*.png"))
    assert names[:2] == ["x_00000.png", "x_00001.png"]
    assert len(names) == 6
    assert (folders.output / "out" / "x_00001.txt").read_text() == "two"
    with Pillow.open(folders.output / "out" / "x_00000.png") as saved:
        assert saved.getpixel((0, 0)) == (51, 51, 51)


def test_lists_are_shuffled_alike(folders: runtime.Folders) -> None:
    """The same seed gives pictures, texts and videos the same order; batches are taken apart only alone."""
    films = [Video(Path(f"{k}.mp4")) for k in range(5)]
    images, words = [flat(k / 10) for k in range(5)], list("abcde")

    (alone,) = pictures.shuffle(images, [3])
    both = pictures.shuffle_pairs(images, words, [3])
    moving, told = clips.shuffle_film_pairs(films, words, [3])

    assert [float(image[0, 0, 0, 0]) for image in alone] == [float(image[0, 0, 0, 0]) for image in both[0]]
    assert both[1] == told == [words[films.index(film)] for film in moving]
    assert clips.shuffle_films(films, [3])[0] == moving
    assert len(pictures.shuffle([np.concatenate(images)], [0])[0]) == 5
    with pytest.raises(ValueError, match=r"got Tensor shape torch.Size\(\[8, 8\]\)"):
        pictures.shuffle([np.zeros((8, 8), np.float32)], [0])


def test_one_text_is_a_list_in_a_plain_value() -> None:
    """The nodes for single texts return a list that is not a list of the executor's, as in ComfyUI."""
    assert BUILT_IN["TruncateText"][0]().run(texts="abcdef", max_length=3) == (["abc"],)
    assert texts.merge_texts(["a", "b"]) == ([["a", "b"]],)
    assert not any(BUILT_IN["TruncateText"][0].OUTPUT_IS_LIST)  # type: ignore[attr-defined]


def test_latents_are_grouped_by_size() -> None:
    """Those of equal sides are one batch, with their conditionings; a missing one is an error."""
    latents = [{"samples": np.zeros((1, 4, side, 8), np.float32)} for side in (8, 4, 8)]
    conditions = [[[f"c{k}", {}]] for k in range(3)]

    groups, together = texts.bucket(latents, conditions)

    assert [group["samples"].shape[0] for group in groups] == [2, 1]
    assert [len(group) for group in together] == [2, 1]
    with pytest.raises(ValueError, match="does not match number of conditions"):
        texts.bucket(latents, conditions[:1])


async def test_a_list_runs_through_single_and_list_nodes(launch: N, make: N) -> None:
    """Nodes for single pictures are called for each, nodes for lists once."""
    async with launch() as client:
        folder = client.base / "input" / "set"
        folder.mkdir()
        for name, side in (("a.png", 8), ("b.png", 12)):
            Pillow.new("RGB", (side, 6), "blue").save(folder / name)
        events, record = await client.run(
            {
                "1": make("LoadImageDataSetFromFolder", folder="set"),
                "2": make("ResizeImagesByLongerEdge", images=["1", 0], longer_edge=4),
                "3": make("ImageGrid", images=["2", 0], columns=1, cell_width=32, cell_height=32, padding=0),
                "4": make("PreviewImage", images=["3", 0]),
                "5": make("PreviewImage", images=["2", 0]),
            }
        )

    assert [kind for kind, _ in events if kind == "execution_error"] == []
    assert len(record["outputs"]["4"]["images"]) == 1
    assert len(record["outputs"]["5"]["images"]) == 2
