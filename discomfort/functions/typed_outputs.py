"""Typed outputs of a workflow that was called: pictures, texts, videos, … by the names of its interface.

Each stands for all items that one output gave: ``len``, iteration and an index give single ones, of the same type.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from discomfort.client.notebook import as_html
from discomfort.client.outputs import Output, OutputFields
from discomfort.exceptions import PayloadError
from discomfort.functions.output_files import pixels, samples, saved
from discomfort.sync_run import SyncOutput

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

O = TypeVar("O", Output, SyncOutput)  # noqa: E741 - an output


class OutputItems(Generic[O]):
    """What one output gave. ``name`` is its name, ``type`` ComfyUI's type (empty if only the run showed it).

    ``outputs`` are the items, as in ``result.outputs``. As the value of an input of another call it stands for its
    file, which is not transferred where the server is the same.
    """

    __slots__ = ("name", "outputs", "type")

    def __init__(self, name: str, type: str, outputs: tuple[O, ...]) -> None:  # noqa: A002 - as in the interface
        self.name, self.type = name, type
        self.outputs: tuple[O, ...] = outputs

    def __len__(self) -> int:
        return len(self.outputs)

    def __bool__(self) -> bool:
        return bool(self.outputs)

    def __iter__(self) -> Iterator[Self]:
        return (self._with((output,)) for output in self.outputs)

    def __getitem__(self, index: int | slice) -> Self:
        found = self.outputs[index]
        return self._with(found if isinstance(found, tuple) else (found,))

    def __repr__(self) -> str:
        names = ", ".join(output.filename or repr(output.value)[:60] for output in self.outputs[:3])
        more = f", and {len(self) - 3} more" if len(self) > 3 else ""
        return f"<{type(self).__name__} {self.name}: {names or 'nothing'}{more}>"

    def _repr_html_(self) -> str:
        return as_html(self.outputs)

    def _with(self, outputs: tuple[O, ...]) -> Self:
        return type(self)(self.name, self.type, outputs)

    @property
    def only(self) -> O:
        """The one item. Raises PayloadError if there is none, or more than one."""
        if len(self.outputs) != 1:
            found = "nothing" if not self.outputs else f"{len(self.outputs)} items: choose one, as {self.name}[0]"
            raise PayloadError(f"the output {self.name!r} has {found}")
        return self.outputs[0]


class SavedItems(OutputItems[Output]):
    """Items with their content on the server, read on demand."""

    __slots__ = ()

    async def save(self, target: str | os.PathLike[str]) -> list[Path]:
        """Save all items, and return their paths in order.

        ``target`` is a folder, where the files get the name of the output and never replace others; or a path with a
        suffix, which is replaced if it exists. Further items get ``_2``, ``_3``, … A picture is converted to the format
        of the suffix; other files must have their own. Missing folders are made. Each file appears complete or not at
        all. Raises ValueError for another suffix, OSError, and as :meth:`Output.read`.
        """
        return await saved(self.outputs, self.name, target)

    async def read(self) -> bytes:
        """The bytes of the one item. Raises PayloadError if there are more or none, and as :meth:`Output.read`."""
        return await self.only.read()


class Image(SavedItems):
    """Pictures."""

    __slots__ = ()

    async def pil(self) -> Picture:
        """The one picture as an image of Pillow, as it was stored. Raises PayloadError."""
        return await self.only.image()

    async def numpy(self) -> Any:
        """All pictures as float32 from 0 to 1, ``[batch, height, width, 3 or 4]``: ComfyUI's IMAGE.

        Raises ValueError if their sizes differ, PayloadError for files that cannot be read as pictures.
        """
        return await pixels(self.outputs, "numpy", is_mask=False)

    async def tensor(self) -> Any:
        """As :meth:`numpy`, a tensor of torch, which must be installed."""
        return await pixels(self.outputs, "torch", is_mask=False)


class Mask(SavedItems):
    """Masks, as grey pictures."""

    __slots__ = ()

    async def pil(self) -> Picture:
        """The one mask as a grey image of Pillow. Raises PayloadError."""
        return (await self.only.image()).convert("L")

    async def numpy(self) -> Any:
        """All masks as float32 from 0 to 1, ``[batch, height, width]``: ComfyUI's MASK. Raises as for pictures."""
        return await pixels(self.outputs, "numpy", is_mask=True)

    async def tensor(self) -> Any:
        """As :meth:`numpy`, a tensor of torch, which must be installed."""
        return await pixels(self.outputs, "torch", is_mask=True)


class Latent(SavedItems):
    """Latents, as the files of ``SaveLatent``."""

    __slots__ = ()

    async def numpy(self) -> Any:
        """The samples of the one latent, float32. Raises DamagedDataError, PayloadError."""
        return await samples(self.only, "numpy")

    async def tensor(self) -> Any:
        """As :meth:`numpy`, a tensor of torch, which must be installed."""
        return await samples(self.only, "torch")


class Video(SavedItems):
    """Videos and other moving pictures."""

    __slots__ = ()


class Audio(SavedItems):
    """Sounds."""

    __slots__ = ()


class Model3D(SavedItems):
    """Three-dimensional models."""

    __slots__ = ()


class File(SavedItems):
    """Files of any other kind."""

    __slots__ = ()


class Text(SavedItems):
    """Texts. ``str()`` gives them, one below the other."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The one text. Raises PayloadError if there are more or none."""
        return str(self.only.value)

    @property
    def value(self) -> str:
        """The same as :attr:`text`."""
        return self.text

    def __str__(self) -> str:
        return joined_texts(self.outputs)


class Value(SavedItems):
    """Other values, such as numbers, as JSON has them."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """The one value. Raises PayloadError if there are more or none."""
        return self.only.value

    @property
    def values(self) -> list[Any]:
        """All of them."""
        return [output.value for output in self.outputs]


CLASS_OF_TYPE = {
    "IMAGE": "Image", "MASK": "Mask", "LATENT": "Latent", "VIDEO": "Video", "AUDIO": "Audio", "STRING": "Text",
    "INT": "Value", "FLOAT": "Value", "NUMBER": "Value", "BOOLEAN": "Value", "COMBO": "Value",
}  # fmt: skip
"""Names of classes by ComfyUI's type; FILE_3D and its formats are ``Model3D``."""
_CLASS_OF_KIND = {
    "image": "Image", "video": "Video", "audio": "Audio", "3d": "Model3D", "text": "Text", "file": "File",
    "value": "Value",
}  # fmt: skip
_KINDS_OF_CLASS = {
    "Image": ("image",), "Mask": ("image",), "Latent": ("file",), "Video": ("video",), "Audio": ("audio",),
    "Model3D": ("3d",), "Text": ("text",), "Value": ("value", "text"),
}  # fmt: skip
_ORDER = ("image", "video", "audio", "3d", "file", "value", "text")
"""Of a node that gives items of several kinds, the first kind counts; texts are often only about the others."""


def class_name_of(type: str) -> str:  # noqa: A002
    """The name of the class of an output of this type; empty if only a run shows it."""
    kind = type.upper()
    return "Model3D" if kind.startswith("FILE_3D") or kind == "MESH" else CLASS_OF_TYPE.get(kind, "")


def chosen(type: str, outputs: list[Any]) -> tuple[str, tuple[Any, ...]]:  # noqa: A002
    """The class for the items of one node, and those of the items that it has: the others are in ``result.outputs``."""
    name = class_name_of(type)
    if name and (not outputs or any(each.kind in _KINDS_OF_CLASS[name] for each in outputs)):
        return name, tuple(each for each in outputs if each.kind in _KINDS_OF_CLASS[name])
    kinds: set[str] = {each.kind for each in outputs}
    kind = next((each for each in _ORDER if each in kinds), "value")
    return _CLASS_OF_KIND[kind], tuple(each for each in outputs if each.kind == kind)


def joined_texts(outputs: tuple[OutputFields, ...]) -> str:
    """The texts of items, one below the other."""
    return "\n".join(str(output.value) for output in outputs)


CLASSES: dict[str, type[Any]] = {
    each.__name__: each for each in (Image, Mask, Latent, Video, Audio, Model3D, File, Text, Value)
}
