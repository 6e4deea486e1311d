"""Stand-in for ``node_helpers``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from comfyui_emulator.nodes.conditioning.combining import with_values


def conditioning_set_values(conditioning: Any, values: dict[str, Any] | None = None, append: bool = False) -> Any:
    """The conditioning with added options."""
    return with_values(conditioning, values or {}, append=append)


def pillow(fn: Callable[[Any], Any], arg: Any) -> Any:
    """Return ``fn(arg)``. If Pillow rejects a truncated file, retry with truncated images allowed."""
    from PIL import ImageFile, UnidentifiedImageError

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        return fn(arg)
    except (OSError, UnidentifiedImageError, ValueError):
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        return fn(arg)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def hasher() -> Any:
    """The hash function for fingerprints."""
    return hashlib.sha256


def image_alpha_fix(destination: Any, source: Any) -> tuple[Any, Any]:
    """Both images; a destination with too few channels gets an opaque alpha, a source with too many is cut."""
    missing = source.shape[-1] - destination.shape[-1]
    if missing < 0:
        ones = np.ones((*destination.shape[:-1], 1), dtype=np.float32)
        return np.concatenate((destination, ones), axis=-1), source
    return destination, source[..., : destination.shape[-1]]
