"""Files of latents, as ComfyUI's ``SaveLatent`` writes and its ``LoadLatent`` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from discomfort._system.atomic_files import streamed
from discomfort.context import layout
from discomfort.context.arrays import ArrayPart, array_at, array_part
from discomfort.context.tensors import is_tensor, tensor_part
from discomfort.exceptions import DamagedDataError

_SAMPLES = "latent_tensor"
_UNSCALED = "latent_format_version_0"
"""An empty array of this name says that the numbers are those of the sampler."""
_OLD_SCALE = np.float32(1 / 0.18215)


def read_latent(path: Path) -> dict[str, Any]:
    """The latent in a file. Raises DamagedDataError, OSError."""
    data = bytearray(path.read_bytes())
    _, spans = layout.parsed(memoryview(data))
    if _SAMPLES not in spans:
        raise DamagedDataError(f"has no array {_SAMPLES!r}, as ComfyUI's SaveLatent writes it")
    span = spans[_SAMPLES]
    samples = array_at(memoryview(data), span.begin, span.dtype, span.shape).astype(np.float32)
    return {"samples": samples if _UNSCALED in spans else samples * _OLD_SCALE}


def write_latent(value: Any, path: Path) -> None:
    """Write the samples of a latent; a file appears complete or not at all. Raises ValueError for another value."""
    samples: Any = value.get("samples") if isinstance(value, Mapping) else None
    if not isinstance(samples, np.ndarray) and not is_tensor(samples):
        raise ValueError("a .latent file holds a LATENT: a dictionary with the array 'samples'")
    part = (tensor_part if is_tensor(samples) else array_part)(samples, "samples")[0]
    parts = {_SAMPLES: part, _UNSCALED: ArrayPart("F32", (0,), np.zeros(0, np.float32))}
    path.parent.mkdir(parents=True, exist_ok=True)
    with streamed(path, overwrite=True) as stream:
        stream.write(layout.header([(name, each.dtype, each.shape) for name, each in parts.items()], {}))
        for piece in part.pieces():
            stream.write(piece)
