"""Typed outputs whose methods block: those of ``SyncConnector``."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from discomfort._system.loop_thread import LoopThread
from discomfort.client.outputs import Output
from discomfort.functions.output_files import pixels, samples, saved
from discomfort.functions.typed_outputs import OutputItems, SavedItems, joined_texts
from discomfort.sync_run import SyncOutput, sync_output

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

T = TypeVar("T")


class SyncItems(OutputItems[SyncOutput]):
    """Items with their content on the server, read on demand."""

    __slots__ = ()

    def save(self, target: str | os.PathLike[str]) -> list[Path]:
        """See :meth:`SavedItems.save`."""
        return self._done(saved(self._inner, self.name, target)) if self.outputs else []

    def read(self) -> bytes:
        """See :meth:`SavedItems.read`."""
        return self.only.read()

    @property
    def _inner(self) -> list[Output]:
        return [each.output for each in self.outputs]

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        return self.outputs[0]._thread.call(work)


class SyncImage(SyncItems):
    """See :class:`Image`."""

    __slots__ = ()

    def pil(self) -> Picture:
        """See :meth:`Image.pil`."""
        return self.only.image()

    def numpy(self) -> Any:
        """See :meth:`Image.numpy`."""
        return self._done(pixels(self._inner, "numpy", is_mask=False))

    def tensor(self) -> Any:
        """See :meth:`Image.tensor`."""
        return self._done(pixels(self._inner, "torch", is_mask=False))


class SyncMask(SyncItems):
    """See :class:`Mask`."""

    __slots__ = ()

    def pil(self) -> Picture:
        """See :meth:`Mask.pil`."""
        return self.only.image().convert("L")

    def numpy(self) -> Any:
        """See :meth:`Mask.numpy`."""
        return self._done(pixels(self._inner, "numpy", is_mask=True))

    def tensor(self) -> Any:
        """See :meth:`Mask.tensor`."""
        return self._done(pixels(self._inner, "torch", is_mask=True))


class SyncLatent(SyncItems):
    """See :class:`Latent`."""

    __slots__ = ()

    def numpy(self) -> Any:
        """See :meth:`Latent.numpy`."""
        return self._done(samples(self.only.output, "numpy"))

    def tensor(self) -> Any:
        """See :meth:`Latent.tensor`."""
        return self._done(samples(self.only.output, "torch"))


class SyncVideo(SyncItems):
    """See :class:`Video`."""

    __slots__ = ()


class SyncAudio(SyncItems):
    """See :class:`Audio`."""

    __slots__ = ()


class SyncModel3D(SyncItems):
    """See :class:`Model3D`."""

    __slots__ = ()


class SyncFile(SyncItems):
    """See :class:`File`."""

    __slots__ = ()


class SyncText(SyncItems):
    """See :class:`Text`."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """See :attr:`Text.text`."""
        return str(self.only.value)

    @property
    def value(self) -> str:
        """The same as :attr:`text`."""
        return self.text

    def __str__(self) -> str:
        return joined_texts(self.outputs)


class SyncValue(SyncItems):
    """See :class:`Value`."""

    __slots__ = ()

    @property
    def value(self) -> Any:
        """See :attr:`Value.value`."""
        return self.only.value

    @property
    def values(self) -> list[Any]:
        """See :attr:`Value.values`."""
        return [output.value for output in self.outputs]


_CLASSES = {
    each.__name__.removeprefix("Sync"): each
    for each in (
        SyncImage, SyncMask, SyncLatent, SyncVideo, SyncAudio, SyncModel3D, SyncFile, SyncText, SyncValue,
    )
}  # fmt: skip


def sync_items(items: SavedItems, thread: LoopThread) -> SyncItems:
    """Items whose methods block."""
    outputs = tuple(sync_output(output, thread) for output in items.outputs)
    return _CLASSES[type(items).__name__](items.name, items.type, outputs)
