"""Stand-in for ``comfy.cli_args``."""

from __future__ import annotations

from typing import Any

from comfyui_emulator import runtime


class _Arguments:
    preview_size = 512

    @property
    def disable_metadata(self) -> bool:
        """Whether files are saved without metadata."""
        return not runtime.context().metadata

    def __getattr__(self, name: str) -> Any:
        """Return ``None`` for options that do not apply here."""
        if name.startswith("_"):
            raise AttributeError(name)
        return None


args = _Arguments()
