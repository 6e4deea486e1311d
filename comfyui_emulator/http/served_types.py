"""Media types of files that are served, and which of them a browser would run."""

from __future__ import annotations

import mimetypes

_OWN = {
    "js": "application/javascript",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    "safetensors": "application/safetensors",
    "sft": "application/safetensors",
    "pt": "application/pytorch",
    "pth": "application/pytorch",
    "ckpt": "application/pickle",
    "pkl": "application/pickle",
    "gguf": "application/gguf",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}
"""Endings that ComfyUI knows in addition to the system's or decides otherwise."""

_ACTIVE = {
    "text/html",
    "text/html-sandboxed",
    "application/xhtml+xml",
    "text/javascript",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "text/css",
    "message/rfc822",
}


def media_type(name: str) -> str:
    """The type that the file's name suggests."""
    ending = name.rpartition(".")[2].lower()
    return _OWN.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def is_active(kind: str) -> bool:
    """Whether a browser would run or apply such a file if it was shown: scripts, pages, styles and all XML."""
    return kind in _ACTIVE or kind.endswith(("+xml", "/xml"))


def shown_as_image(kind: str, destination: str | None) -> bool:
    """Whether an active file is harmless: in an image element, the scripts in an SVG do not run (ComfyUI 0.30)."""
    return kind == "image/svg+xml" and destination == "image"
