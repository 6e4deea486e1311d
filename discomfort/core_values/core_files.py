"""Files that every ComfyUI reads or writes, from arrays and back: PNG pictures, ``.latent`` files, WAV sound."""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from discomfort.context import layout
from discomfort.context.tensors import is_tensor, made_of
from discomfort.exceptions import DamagedDataError

if TYPE_CHECKING:
    import numpy as np

    from discomfort.context.tensors import TensorKind

    Array = np.ndarray[Any, Any]

_LATENT, _MARK = "latent_tensor", "latent_format_version_0"
"""The array of a latent, and an empty one that says that its numbers are not scaled."""
_OLD_SCALE = 0.18215
"""By which the numbers of a latent without that mark were multiplied."""
_FLOAT_SAMPLES = 3
_MODES = {"RGB", "RGBA"}


@dataclass(frozen=True, slots=True)
class ValueFile:
    """A file made of a value, or of a part of it. Its name is made of its content."""

    suffix: str
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The same for the same content."""
        return hashlib.sha256(self.data).hexdigest()[:32] + self.suffix


def array_of(value: object) -> Array | None:
    """A numpy array with the numbers of an array or a tensor of any device; ``None`` for anything else."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    if not is_tensor(value):
        return None
    plain: Any = value.detach().cpu()  # type: ignore[attr-defined]
    try:
        found: Array = plain.numpy()
    except TypeError:  # a type that numpy lacks, such as bfloat16
        found = plain.float().numpy()
    return found


def eight_bits(levels: Array) -> Array:
    """Numbers from 0 to 1 as 0 to 255, rounded to the nearest."""
    import numpy as np

    rounded: Array = np.rint(levels.astype(np.float32) * np.float32(255)).astype(np.uint8)
    return rounded


def are_eight_bits(levels: Array) -> bool:
    """Whether 8 bits hold these numbers exactly, as those of a loaded picture."""
    import numpy as np

    return bool(np.array_equal(eight_bits(levels).astype(np.float32) / np.float32(255), levels))


def png_file(pixels: Array) -> ValueFile:
    """Bytes ``[height, width, 3 or 4]`` as a PNG."""
    import numpy as np
    from PIL import Image

    stream = io.BytesIO()
    # Quick rather than small: it is read once.
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG", compress_level=1)
    return ValueFile(".png", stream.getvalue())


def read_png(data: bytes) -> Array:
    """The levels of a picture from 0 to 1, float32 ``[height, width, 3 or 4]``. Raises DamagedDataError."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
            picture = opened if opened.mode in _MODES else opened.convert("RGB")
            levels: Array = np.asarray(picture, dtype=np.float32) / np.float32(255)
            return levels
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedDataError(f"the server's picture cannot be read: {error}") from error


def latent_file(samples: Array) -> ValueFile:
    """The numbers of a latent, as ``LoadLatent`` reads them."""
    import numpy as np

    numbers = np.ascontiguousarray(samples, dtype="<f4")
    head = layout.header([(_LATENT, "F32", numbers.shape), (_MARK, "F32", (0,))], {})
    return ValueFile(".latent", head + numbers.tobytes())


def read_latent(data: bytes, kind: TensorKind) -> Any:
    """The tensor in a file that ``SaveLatent`` wrote. Raises DamagedDataError."""
    from discomfort.context.arrays import array_at

    buffer = memoryview(bytearray(data))
    _, spans = layout.parsed(buffer)
    span = spans.get(_LATENT)
    if span is None:
        raise DamagedDataError(f"the server's latent has no {_LATENT!r}")
    made = made_of(array_at(buffer, span.begin, span.dtype, span.shape), span.dtype, kind)
    return made if _MARK in spans else made / _OLD_SCALE


def wave_file(channels: Array, rate: int) -> ValueFile:
    """Sound ``[channel, sample]`` as a WAV file of 32 bit floats."""
    import numpy as np

    count, samples = channels.shape
    numbers = np.ascontiguousarray(channels.T, dtype="<f4").tobytes()
    form = struct.pack("<HHIIHH", _FLOAT_SAMPLES, count, rate, rate * count * 4, count * 4, 32)
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in ((b"fmt ", form), (b"fact", struct.pack("<I", samples)), (b"data", numbers))
    )
    return ValueFile(".wav", b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
