"""Nodes that load and save folders of pictures, videos and texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import contained, next_save_path
from comfyui_emulator.nodes.base import HIDDEN_METADATA_V3, Entry, Image, choice, link, node, text
from comfyui_emulator.nodes.images.decoding import tolerantly_opened
from comfyui_emulator.nodes.images.resample import from_bytes, to_bytes
from comfyui_emulator.nodes.media.films import Video

JsonObject = dict[str, Any]
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_FILMS = (".mp4", ".avi", ".mov", ".webm", ".mkv", ".flv")
_DATASET: dict[str, Any] = {"module": "comfy_extras.nodes_dataset", "v3": True, "EXPERIMENTAL": True}


def subfolders() -> list[str]:
    """The names of all folders in the input folder, with those in them."""
    root = runtime.context().folders.input
    return sorted(
        os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")  # noqa: PTH118 - the result is a name
        for folder, names, _ in os.walk(root)
        for name in names
    )


def _choice() -> JsonObject:
    return {"required": {"folder": ["COMBO", {"multiselect": False, "options": subfolders()}]}}


def place(root: Path, name: str) -> Path:
    """A folder by its name. Raises ``ValueError`` if it is outside of ``root``."""
    if contained(root, name) is None:
        raise ValueError(f"Invalid folder name {name!r}: resolves outside of {root}")
    return Path(os.path.abspath(root / name))  # noqa: PTH100 - symbolic links are not followed


def _input(name: str) -> Path:
    return place(runtime.context().folders.input, name)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _is(name: str, endings: tuple[str, ...]) -> bool:
    return name.lower().endswith(endings)


def _repeated(folder: Path, endings: tuple[str, ...], order: Callable[[list[str]], list[str]]) -> list[Path]:
    """The files of a folder and of its folders; those in ``3_name`` three times, as training programs expect."""
    found: list[Path] = []
    for name in order(_names(folder)):
        path = folder / name
        if _is(name, endings):
            found.append(path)
        elif path.is_dir():
            count = name.split("_")[0]
            inside = [path / each for each in order(_names(path)) if _is(each, endings)]
            found += inside * (int(count) if count.isdigit() else 1)
    return found


def _picture(path: Path) -> Image:
    with tolerantly_opened(path) as opened:
        picture: Any = opened.point(lambda level: level * (1 / 255)) if opened.mode == "I" else opened
        return from_bytes(np.asarray(picture.convert("RGB")))[None]


def _pictures(paths: Sequence[Path]) -> list[Image]:
    if not paths:
        raise ValueError("No valid images found in input")
    return [_picture(path) for path in paths]


def _captions(paths: Sequence[Path]) -> list[str]:
    """The text beside each file, or an empty one."""
    beside = [path.with_suffix(".txt") for path in paths]
    return [path.read_text(encoding="utf-8").strip() if path.exists() else "" for path in beside]


def _as_found(names: list[str]) -> list[str]:
    # As in ComfyUI, pictures come in the order of the folder.
    return names


@node(
    "LoadImageDataSetFromFolder",
    None,
    "IMAGE",
    names="images",
    lists=[True],
    title="Load Image (from Folder)",
    category="image",
    INPUT_TYPES=_choice,
    **_DATASET,
)
def load_pictures(folder: str) -> tuple[list[Image]]:
    """The pictures of a folder as a list, not sorted. Raises ``ValueError`` if there are none."""
    root = _input(folder)
    return (_pictures([root / name for name in _names(root) if _is(name, _PICTURES)]),)


@node(
    "LoadImageTextDataSetFromFolder",
    None,
    "IMAGE STRING",
    names="images texts",
    lists=[True, True],
    title="Load Image-Text (from Folder)",
    category="image",
    INPUT_TYPES=_choice,
    **_DATASET,
)
def load_pictures_and_texts(folder: str) -> tuple[list[Image], list[str]]:
    """The pictures of a folder with the texts beside them. Raises ``ValueError`` if there are no pictures."""
    paths = _repeated(_input(folder), _PICTURES, _as_found)
    return _pictures(paths), _captions(paths)


def _films(paths: Sequence[Path], root: Path) -> list[Video]:
    if not paths:
        raise ValueError(f"No video files found in {root}")
    return [Video(path) for path in paths]


@node(
    "LoadVideoDataSetFromFolder",
    None,
    "VIDEO",
    names="videos",
    lists=[True],
    title="Load Video (from Folder)",
    category="video",
    INPUT_TYPES=_choice,
    **_DATASET,
)
def load_films(folder: str) -> tuple[list[Video]]:
    """The videos of a folder as a list, by name. Raises ``ValueError`` if there are none."""
    root = _input(folder)
    return (_films([root / name for name in sorted(_names(root)) if _is(name, _FILMS)], root),)


@node(
    "LoadVideoTextDataSetFromFolder",
    None,
    "VIDEO STRING",
    names="videos texts",
    lists=[True, True],
    title="Load Video-Text (from Folder)",
    category="video",
    INPUT_TYPES=_choice,
    **_DATASET,
)
def load_films_and_texts(folder: str) -> tuple[list[Video], list[str]]:
    """The videos of a folder with the texts beside them. Raises ``ValueError`` if there are no videos."""
    root = _input(folder)
    paths = _repeated(root, _FILMS, sorted)
    return _films(paths, root), _captions(paths)


def _flat(image: Image) -> Image:
    """A picture ``[height, width, channel]``; those with channels first are turned."""
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 3 and image.shape[0] in (1, 3, 4) and min(image.shape[1:]) > 4:
        image = image.transpose(1, 2, 0)
    return image


def _save(images: Sequence[Image], folder: str, prefix: str, mode: str) -> list[Path]:
    from PIL import Image as Pillow

    target = place(runtime.context().folders.output, folder)
    target.mkdir(parents=True, exist_ok=True)
    saved = []
    for index, image in enumerate(images):
        if not isinstance(image, np.ndarray):
            raise ValueError(f"Expected torch.Tensor, got {type(image)}")  # noqa: TRY004 - ComfyUI's type
        picture = Pillow.fromarray(to_bytes(_flat(image)))
        name = f"{prefix}_{index:05d}.png"
        if mode != "overwrite":
            counter = next_save_path(prefix, target)[2]
            name = f"{prefix}_{counter:05}_{index:05d}.png"
        picture.save(target / name)
        saved.append(target / name)
    return saved


_PLACE: dict[str, Entry] = {
    "images": link("IMAGE"),
    "folder_name": text(default="dataset", multiline=False),
    "filename_prefix": text(advanced=True, default="image", multiline=False),
    "mode": choice(["overwrite", "increment"], default="overwrite"),
}
_SAVED: dict[str, Any] = {
    "hidden": HIDDEN_METADATA_V3,
    "category": "image",
    "OUTPUT_NODE": True,
    "INPUT_IS_LIST": True,
    **_DATASET,
}


@node(
    "SaveImageDataSetToFolder",
    _PLACE,
    "",
    title="Save Image (to Folder) (DEPRECATED)",
    DEPRECATED=True,
    **_SAVED,
)
@node(
    "SaveImageTextDataSetToFolder",
    _PLACE,
    "",
    optional={"texts": text(forceInput=True, multiline=False)},
    title="Save Image-Text (to Folder)",
    **_SAVED,
)
def save_pictures(
    images: Sequence[Image],
    folder_name: Sequence[str],
    filename_prefix: Sequence[str],
    mode: Sequence[str],
    texts: Sequence[str] | None = None,
    **_: Any,
) -> tuple[()]:
    """Save pictures as PNG, and texts beside them. Nothing is told to the frontend."""
    saved = _save(images, folder_name[0], filename_prefix[0], mode[0])
    for path, caption in zip(saved, texts or (), strict=False):
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return ()
