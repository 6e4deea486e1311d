"""Stand-in for ``comfy_api.latest.ui``: UI parts of nodes. Those for media save files first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.compat.fields import FolderType, JsonObject
from comfyui_emulator.compat.schema import ComfyNode, UIOutput
from comfyui_emulator.folders import next_save_path
from comfyui_emulator.nodes.images.files import (
    animated_exif,
    animated_info,
    metadata_parts,
    pictures,
    temporary_suffix,
)
from comfyui_emulator.nodes.images.previews import save_pngs
from comfyui_emulator.nodes.media import audio as _audio

Owner = type[ComfyNode] | None


class SavedResult(dict[str, str]):
    """A reference to a saved file."""

    def __init__(self, filename: str, subfolder: str, type: FolderType) -> None:  # noqa: A002 - ComfyUI's name
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)

    @property
    def filename(self) -> str:
        """The file's name."""
        return self["filename"]

    @property
    def subfolder(self) -> str:
        """The subfolder in the folder of its type."""
        return self["subfolder"]

    @property
    def type(self) -> FolderType:
        """The type of the folder that contains the file."""
        return FolderType(self["type"])


class SavedImages(UIOutput):
    """Saved images as a UI part."""

    def __init__(self, results: Sequence[SavedResult], is_animated: bool = False) -> None:
        self.results, self.is_animated = list(results), is_animated

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"images": self.results} | ({"animated": (True,)} if self.is_animated else {})


class SavedAudios(UIOutput):
    """Saved sounds as a UI part."""

    def __init__(self, results: Sequence[SavedResult]) -> None:
        self.results = list(results)

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"audio": self.results}


def _metadata(cls: Owner) -> list[tuple[str, str]]:
    """The node's prompt and workflow, as metadata for a file."""
    if cls is None or cls.hidden is None:
        return []
    return metadata_parts(cls.hidden.prompt, cls.hidden.extra_pnginfo)


def _root(folder_type: FolderType) -> Any:
    return runtime.context().folders.by_type(folder_type.value)


class ImageSaveHelper:
    """Methods that save images; those that end in ``_ui`` return a UI part."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: FolderType, cls: Owner, compress_level: int = 4
    ) -> list[SavedResult]:
        """Save each image as a PNG file."""
        saved = save_pngs(images, filename_prefix, folder_type.value, _metadata(cls), compress_level)
        return [SavedResult(item["filename"], item["subfolder"], folder_type) for item in saved]

    @staticmethod
    def get_save_images_ui(images: Any, filename_prefix: str, cls: Owner, compress_level: int = 4) -> SavedImages:
        """Save each image as a PNG file in the output folder."""
        return SavedImages(ImageSaveHelper.save_images(images, filename_prefix, FolderType.output, cls, compress_level))

    @staticmethod
    def _animated(
        images: Any, prefix: str, folder_type: FolderType, fps: float, ending: str, options: JsonObject
    ) -> SavedResult:
        height, width = images[0].shape[:2]
        target, stem, counter, subfolder = next_save_path(prefix, _root(folder_type), width, height)
        name, frames = f"{stem}_{counter:05}_.{ending}", pictures(images)
        frames[0].save(target / name, save_all=True, duration=int(1000.0 / fps), append_images=frames[1:], **options)
        return SavedResult(name, subfolder, folder_type)

    @staticmethod
    def save_animated_png(
        images: Any, filename_prefix: str, folder_type: FolderType, cls: Owner, fps: float, compress_level: int
    ) -> SavedResult:
        """Save all images as one animated PNG."""
        options = {"pnginfo": animated_info(_metadata(cls)), "compress_level": compress_level}
        return ImageSaveHelper._animated(images, filename_prefix, folder_type, fps, "png", options)

    @staticmethod
    def get_save_animated_png_ui(
        images: Any, filename_prefix: str, cls: Owner, fps: float, compress_level: int
    ) -> SavedImages:
        """Do the same in the output folder."""
        saved = ImageSaveHelper.save_animated_png(images, filename_prefix, FolderType.output, cls, fps, compress_level)
        return SavedImages([saved], is_animated=len(images) > 1)

    @staticmethod
    def save_animated_webp(
        images: Any,
        filename_prefix: str,
        folder_type: FolderType,
        cls: Owner,
        fps: float,
        lossless: bool,
        quality: int,
        method: int,
    ) -> SavedResult:
        """Save all images as one animated WebP."""
        exif = animated_exif(pictures(images[:1])[0], _metadata(cls))
        options = {"exif": exif, "lossless": lossless, "quality": quality, "method": method}
        return ImageSaveHelper._animated(images, filename_prefix, folder_type, fps, "webp", options)

    @staticmethod
    def get_save_animated_webp_ui(
        images: Any, filename_prefix: str, cls: Owner, fps: float, lossless: bool, quality: int, method: int
    ) -> SavedImages:
        """Do the same in the output folder."""
        saved = ImageSaveHelper.save_animated_webp(
            images, filename_prefix, FolderType.output, cls, fps, lossless, quality, method
        )
        return SavedImages([saved], is_animated=len(images) > 1)


class AudioSaveHelper:
    """Methods that save sounds."""

    @staticmethod
    def save_audio(
        audio: Any,
        filename_prefix: str,
        folder_type: FolderType,
        cls: Owner,
        format: str = "flac",  # noqa: A002 - ComfyUI's name
        quality: str = "128k",
    ) -> list[SavedResult]:
        """Save each sound of the batch as a file."""
        saved = _audio.save_sounds(audio, filename_prefix, folder_type.value, format, quality, dict(_metadata(cls)))
        return [SavedResult(item["filename"], item["subfolder"], folder_type) for item in saved]

    @staticmethod
    def get_save_audio_ui(
        audio: Any,
        filename_prefix: str,
        cls: Owner,
        format: str = "flac",  # noqa: A002 - ComfyUI's name
        quality: str = "128k",
    ) -> SavedAudios:
        """Do the same in the output folder."""
        return SavedAudios(AudioSaveHelper.save_audio(audio, filename_prefix, FolderType.output, cls, format, quality))


def _temporary() -> str:
    return "ComfyUI" + temporary_suffix()


class PreviewImage(UIOutput):
    """A preview of images."""

    def __init__(self, image: Any, animated: bool = False, cls: Owner = None, **_: Any) -> None:
        self.values = ImageSaveHelper.save_images(image, _temporary(), FolderType.temp, cls, 1)
        self.animated = animated

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"images": self.values, "animated": (self.animated,)}


class PreviewMask(PreviewImage):
    """A preview of a mask, as a grey image."""

    def __init__(self, mask: Any, animated: bool = False, cls: Owner = None, **more: Any) -> None:
        grey = np.repeat(mask.reshape(-1, mask.shape[-2], mask.shape[-1])[..., None], 3, axis=-1)
        super().__init__(grey, animated, cls, **more)


class PreviewAudio(UIOutput):
    """A preview of a sound."""

    def __init__(self, audio: Any, cls: Owner = None, **_: Any) -> None:
        self.values = AudioSaveHelper.save_audio(audio, _temporary(), FolderType.temp, cls)

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"audio": self.values}


class PreviewVideo(UIOutput):
    """Videos that were saved."""

    def __init__(self, values: Sequence[Any], **_: Any) -> None:
        self.values = list(values)

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"images": self.values, "animated": (True,)}


class PreviewUI3D(UIOutput):
    """A preview of a 3D model."""

    def __init__(self, model_file: str, camera_info: Any, **_: Any) -> None:
        self.model_file, self.camera_info = model_file, camera_info

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"result": [self.model_file, self.camera_info]}


class PreviewText(UIOutput):
    """A text shown on the node."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> JsonObject:
        """The node's entry in the outputs of the history."""
        return {"text": (self.value,)}
