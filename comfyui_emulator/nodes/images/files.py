"""Nodes that load and save images."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import annotated_path, image_files, next_save_path, remember_counter, split_annotation
from comfyui_emulator.nodes.base import (
    HIDDEN_METADATA,
    HIDDEN_METADATA_V3,
    Entry,
    Image,
    Mask,
    add,
    choice,
    declare,
    integer,
    link,
    node,
    number,
    switch,
    text,
)
from comfyui_emulator.nodes.images.decoding import decoded
from comfyui_emulator.nodes.images.resample import to_bytes
from comfyui_emulator.nodes.wording import in_torch_words

_IMAGES = link("IMAGE")
JsonObject = dict[str, Any]


def input_path(name: str) -> Path:
    """The file that a loader's value names. Raises ``ValueError`` if it is outside its folder."""
    path = annotated_path(runtime.context().folders, name)
    if path is None:
        # The words of ComfyUI, which since 0.28 keeps to the folder as well.
        raise ValueError(f"Invalid file path: {split_annotation(name)[0]!r}")
    return path


def file_digest(name: str) -> str:
    """A fingerprint of the file that a loader's value names."""
    return hashlib.sha256(input_path(name).read_bytes()).hexdigest()


def existing_file(name: str, kind: str) -> bool | str:
    """``True`` if a loader's value names a file, else the error that validation reports."""
    path = annotated_path(runtime.context().folders, name)
    return True if path is not None and path.exists() else f"Invalid {kind} file: {name}"


def _digest(image: str, **_: object) -> str:
    return file_digest(image)


def _digest_mask(image: str, channel: str) -> str:
    del channel
    return _digest(image)


def _check(image: str) -> bool | str:
    return existing_file(image, "image")


def _listing() -> Entry:
    return [image_files(runtime.context().folders.input), {"image_upload": True}]


_LOADER: dict[str, Any] = {"module": "nodes", "VALIDATE_INPUTS": _check}


@node(
    "LoadImage",
    None,
    "IMAGE MASK",
    category="image",
    title="Load Image",
    INPUT_TYPES=lambda: {"required": {"image": _listing()}},
    IS_CHANGED=_digest,
    **_LOADER,
)
@node(
    "LoadImageOutput",
    {
        "image": [
            "COMBO",
            {
                "image_upload": True,
                "image_folder": "output",
                "remote": {
                    "route": "/internal/files/output",
                    "refresh_button": True,
                    "control_after_refresh": "first",
                },
            },
        ]
    },
    "IMAGE MASK",
    category="image",
    title="Load Image (from Outputs)",
    EXPERIMENTAL=True,
    IS_CHANGED=_digest,
    **_LOADER,
)
def load_image(image: str) -> tuple[Image, Mask]:
    """Load all frames of a file. The mask is 1 where they are transparent; without alpha it is 64 x 64 zeros."""
    images, alpha = decoded(input_path(image))
    if alpha is None:
        return images, np.zeros((len(images), 64, 64), dtype=np.float32)
    return images, np.float32(1.0) - alpha


_CHANNELS = ["alpha", "red", "green", "blue"]


@node(
    "LoadImageMask",
    None,
    "MASK",
    category="image",
    title="Load Image (as Mask)",
    INPUT_TYPES=lambda: {"required": {"image": _listing(), "channel": choice(_CHANNELS)}},
    IS_CHANGED=_digest_mask,
    **_LOADER,
)
def load_image_mask(image: str, channel: str) -> Mask:
    """Load one channel of all frames of a file. Alpha is :func:`load_image`'s mask."""
    images, mask = load_image(image)
    return mask if channel == "alpha" else images[..., ["red", "green", "blue"].index(channel)]


def pictures(images: Image) -> list[Any]:
    """The Pillow images of a batch, truncated to 8 bits."""
    from PIL import Image as Pillow

    return [Pillow.fromarray(to_bytes(np.asarray(image))) for image in images]


def metadata_values(prompt: Any, extra_pnginfo: Any) -> JsonObject:
    """The metadata of a saved file by key, for savers that write it in their own way."""
    return ({} if prompt is None else {"prompt": prompt}) | (extra_pnginfo or {})


def metadata_parts(prompt: Any, extra_pnginfo: Any) -> list[tuple[str, str]]:
    """The metadata of a saved file as pairs of key and JSON. Empty if metadata is disabled."""
    if not runtime.context().metadata:
        return []
    parts = [("prompt", json.dumps(prompt))] if prompt is not None else []
    return parts + [(key, json.dumps(value)) for key, value in (extra_pnginfo or {}).items()]


class _Saver:
    """Node that saves a batch as PNG files into one of the three folders."""

    folder, compress_level, suffix = "output", 4, ""

    @in_torch_words
    def save(
        self, images: Image, filename_prefix: str = "ComfyUI", prompt: Any = None, extra_pnginfo: Any = None
    ) -> JsonObject:
        """Write the files, and list them in the UI part."""
        from PIL.PngImagePlugin import PngInfo

        root = runtime.context().folders.by_type(self.folder)
        assert root is not None  # noqa: S101 - the subclasses name existing folders
        prefix = filename_prefix + self.suffix
        width, height = images[0].shape[1], images[0].shape[0]
        target, stem, counter, subfolder = next_save_path(prefix, root, width, height)
        info: PngInfo | None = None
        if runtime.context().metadata:
            info = PngInfo()
            for key, value in metadata_parts(prompt, extra_pnginfo):
                info.add_text(key, value)
        saved = []
        for index, picture in enumerate(pictures(images)):
            name = f"{stem.replace('%batch_num%', str(index))}_{counter:05}_.png"
            # pathlib would intern every name, and Python's table of interned strings never shrinks.
            path = os.path.join(target, name)  # noqa: PTH118 - see above
            picture.save(path, pnginfo=info, compress_level=self.compress_level)
            saved.append({"filename": name, "subfolder": subfolder, "type": self.folder})
            counter += 1
        if "%batch_num%" not in stem:
            remember_counter(target, stem, counter)
        # Since ComfyUI 0.26, savers and previewers pass their input on.
        return {"ui": {"images": saved}, "result": (images,)}

    save_images = save
    """ComfyUI's name for the method. Packs that subclass this class call it."""


def temporary_suffix() -> str:
    """A random suffix for a previewer's file names."""
    # Each object has its own, so that files of two nodes or two prompts do not collide.
    return "_temp_" + "".join(random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(5))  # noqa: S311 - not a secret


class _Previewer(_Saver):
    """Node that saves into the temporary folder, with its own suffix."""

    folder, compress_level = "temp", 1

    def __init__(self) -> None:
        self.suffix = temporary_suffix()


def _class(name: str, base: type, function: str, inputs: dict[str, Entry], **declaration: Any) -> None:
    attributes = declare(inputs, "IMAGE", names="images", OUTPUT_NODE=True, **declaration)
    add(name, type(name, (base,), attributes | {"FUNCTION": function, "__doc__": base.__doc__}))


_PREFIX = {"filename_prefix": text(default="ComfyUI")}
_SAVED: dict[str, Any] = {"hidden": HIDDEN_METADATA, "module": "nodes", "category": "image"}
_class("SaveImage", _Saver, "save", {"images": ["IMAGE", {}], **_PREFIX}, title="Save Image", **_SAVED)
_class("PreviewImage", _Previewer, "save", {"images": _IMAGES}, title="Preview Image", **_SAVED)


@node(
    "SaveImageWebsocket",
    {"images": _IMAGES},
    "",
    module="custom_nodes.websocket_image_save",
    category="image",
    title="Save Image (Websocket)",
    OUTPUT_NODE=True,
    IS_CHANGED=lambda images: time.time(),
)
def save_image_websocket(images: Image) -> JsonObject:
    """Send the images to the client as PNG. No file is written."""
    count = images.shape[0]
    for index, picture in enumerate(pictures(images)):
        runtime.progress(index, count, runtime.PreviewImage("PNG", picture))
    return {}


_ANIMATED: dict[str, Any] = {
    "names": "images",
    "hidden": HIDDEN_METADATA_V3,
    "module": "comfy_extras.nodes_images",
    "category": "image",
    "v3": True,
    "OUTPUT_NODE": True,
}
_FILE = {"filename_prefix": text(default="ComfyUI", multiline=False)}
_FPS = number(6.0, 0.01, 1000.0, step=0.01)
_EXIF_MODEL, _EXIF_MAKE = 0x0110, 0x010F


def _place(images: Image, prefix: str, ending: str) -> tuple[Path, JsonObject]:
    folders = runtime.context().folders
    # As in ComfyUI's animated savers, the tokens for width and height are swapped.
    width, height = images[0].shape[1], images[0].shape[0]
    target, stem, counter, subfolder = next_save_path(prefix, folders.output, width, height)
    name = f"{stem}_{counter:05}_.{ending}"
    return target / name, {"filename": name, "subfolder": subfolder, "type": "output"}


def _shown(images: Image, reference: JsonObject) -> JsonObject:
    animated = {"animated": (True,)} if len(images) > 1 else {}
    return {"ui": {"images": [reference]} | animated, "result": (images,)}


def animated_exif(picture: Any, parts: Sequence[tuple[str, str]]) -> Any:
    """A picture's metadata as EXIF: the prompt as the model, the rest as the make and the tags below it."""
    exif = picture.getexif()
    tag = _EXIF_MAKE
    for key, value in parts:
        if key == "prompt" and _EXIF_MODEL not in exif:
            exif[_EXIF_MODEL] = f"{key}:{value}"
        else:
            exif[tag] = f"{key}:{value}"
            tag -= 1
    return exif


def animated_info(parts: Sequence[tuple[str, str]]) -> Any:
    """The metadata as chunks of an animated PNG."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in parts:
        info.add(b"comf", key.encode("latin-1") + b"\0" + value.encode("latin-1"), after_idat=True)
    return info


@node(
    "SaveAnimatedWEBP",
    {
        "images": _IMAGES,
        **_FILE,
        "fps": _FPS,
        "lossless": switch(True),
        "quality": integer(80, 0, 100),
        "method": choice(["default", "fastest", "slowest"]),
    },
    "IMAGE",
    title="Save Animated WEBP",
    **_ANIMATED,
)
def save_animated_webp(
    images: Image,
    fps: float,
    filename_prefix: str,
    lossless: bool,
    quality: int,
    method: str,
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save all images as one animated WebP, with the metadata in EXIF."""
    path, reference = _place(images, filename_prefix, "webp")
    frames = pictures(images)
    exif = animated_exif(frames[0], metadata_parts(prompt, extra_pnginfo))
    frames[0].save(
        path,
        save_all=True,
        duration=int(1000.0 / fps),
        append_images=frames[1:],
        exif=exif,
        lossless=lossless,
        quality=quality,
        method={"default": 4, "fastest": 0, "slowest": 6}[method],
    )
    return _shown(images, reference)


@node(
    "SaveAnimatedPNG",
    {"images": _IMAGES, **_FILE, "fps": _FPS, "compress_level": integer(4, 0, 9, advanced=True)},
    "IMAGE",
    title="Save Animated PNG",
    **_ANIMATED,
)
def save_animated_png(
    images: Image,
    fps: float,
    compress_level: int,
    filename_prefix: str = "ComfyUI",
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save all images as one animated PNG, with the metadata in private chunks after the picture."""
    path, reference = _place(images, filename_prefix, "png")
    frames = pictures(images)
    frames[0].save(
        path,
        pnginfo=animated_info(metadata_parts(prompt, extra_pnginfo)),
        compress_level=compress_level,
        save_all=True,
        duration=int(1000.0 / fps),
        append_images=frames[1:],
    )
    return _shown(images, reference)
