"""Types of the values that a call takes as files: aliases, for annotations and for the stubs of workflows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias, Union

if TYPE_CHECKING:
    from discomfort.client.artifact import Artifact
    from discomfort.client.outputs import Output
    from discomfort.context.file_values import FileValue
    from discomfort.functions.sync_typed_outputs import SyncItems
    from discomfort.functions.typed_outputs import SavedItems
    from discomfort.sync_run import SyncOutput


class ArraySource(Protocol):
    """An array of numpy, a tensor of torch, or what numpy can read."""

    @property
    def __array__(self) -> Any:
        """What numpy reads."""


class PictureSource(Protocol):
    """A picture of Pillow."""

    @property
    def __array_interface__(self) -> Any:
        """What numpy reads."""


_Bytes: TypeAlias = bytes | bytearray | memoryview | BinaryIO
_OutputOfRun: TypeAlias = Union["Output", "SyncOutput", "SavedItems", "SyncItems", "Artifact"]

FileInput: TypeAlias = Union[str, "os.PathLike[str]", _Bytes, _OutputOfRun, "FileValue"]
"""A file: its path, its bytes, an open file, an output of another run, or the name of a file that the server has."""
ImageInput: TypeAlias = FileInput | ArraySource | PictureSource
"""A picture or a mask: as a file, of Pillow, or as an array with values from 0 to 1."""
ImagesInput: TypeAlias = ImageInput | Sequence[ImageInput]
"""One or several pictures, for an input that is fed by a link, such as a port."""
AudioInput: TypeAlias = FileInput | Mapping[str, Any]
"""A sound: as a file, or as ComfyUI has it, with ``waveform`` and ``sample_rate``."""
VideoInput: TypeAlias = FileInput
LatentInput: TypeAlias = FileInput | Mapping[str, Any]
"""A latent: as a file, or as ComfyUI has it, with ``samples``."""
