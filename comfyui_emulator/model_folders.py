"""Folders of models, their files, and what those files say of themselves: pictures and metadata.

The emulator runs no models, but lists them, so that pages and programs find what is there.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from comfyui_emulator.folders import contained, media_kind
from comfyui_emulator.registry import JsonObject
from comfyui_emulator.runtime import Folders

ENDINGS = (".bin", ".ckpt", ".pkl", ".pt", ".pt2", ".pth", ".safetensors", ".sft")
"""How the names of model files end."""

MODEL_KINDS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "latent_upscale_models",
    "custom_nodes", "datasets", "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
    "background_removal", "frame_interpolation", "geometry_estimation", "optical_flow", "detection",
)  # fmt: skip
"""The names that ``/models`` lists, in ComfyUI's order (0.33.0)."""

NOT_MODELS = ("configs", "custom_nodes")
"""Kinds that ``/experiment/models`` leaves out."""

_OTHER_NAMES = {
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("unet", "diffusion_models"),
    "controlnet": ("controlnet", "t2i_adapter"),
}
_OTHER_ENDINGS: dict[str, tuple[str, ...]] = {
    "configs": (".yaml",),
    "diffusers": ("folder",),
    "classifiers": ("",),
    "custom_nodes": (),
    "datasets": (),
}
_SAVED = {
    "checkpoints": "checkpoints",
    "loras": "loras",
    "vae": "vae",
    "text_encoders": "clip",
    "diffusion_models": "diffusion_models",
}
"""The folders of the output folder in which nodes save models."""

_LISTED_HEADER, _SEARCHED_HEADER = 1024 * 1024, 8 * 1024 * 1024
"""Longer headers of ``.safetensors`` files are not read: for their metadata, and for a picture."""


class ModelFolders:
    """The folders of one server. All methods but :meth:`places` and :meth:`endings` read the disk."""

    def __init__(self, folders: Folders) -> None:
        self._base, self._output = folders.base or folders.output.parent, folders.output
        self._models = folders.models or self._base / "models"

    def places(self, kind: str) -> list[Path]:
        """The folders for a kind of model: in the models folder, and where nodes save such models."""
        if kind in ("custom_nodes", "datasets"):
            return [self._base / kind]
        places = [self._models / name for name in _OTHER_NAMES.get(kind, (kind,))]
        return [*places, self._output / _SAVED[kind]] if kind in _SAVED else places

    @staticmethod
    def endings(kind: str) -> tuple[str, ...]:
        """How the files of a kind end; empty for any."""
        return _OTHER_ENDINGS.get(kind, ENDINGS)

    def names(self, kind: str) -> list[str]:
        """Files of a kind, as names relative to their folder."""
        endings = self.endings(kind)
        found = {
            name
            for place in self.places(kind)
            for name in _walk(place, hidden=True)
            if not endings or os.path.splitext(name)[-1].lower() in endings  # noqa: PTH122 - a name, not a path
        }
        return sorted(found)

    def details(self, kind: str) -> list[JsonObject]:
        """Files of a kind with the index of their folder, their size and their times."""
        found = []
        for index, place in enumerate(self.places(kind)):
            for name in _walk(place, hidden=False):
                # A broken symbolic link has no size.
                if name.lower().endswith(ENDINGS) and (place / name).exists():
                    stat = (place / name).stat()
                    about = {"modified": stat.st_mtime, "created": stat.st_ctime, "size": stat.st_size}
                    found.append({"name": name, "pathIndex": index, **about})
        return found

    def file(self, kind: str, name: str) -> Path | None:
        """The path of a model file, or ``None``."""
        for place in self.places(kind) if kind in MODEL_KINDS else ():
            path = contained(place, name)
            if path is not None and path.is_file():
                return path
        return None

    def named(self, value: str, options: Callable[[], Iterable[object]]) -> tuple[str, Path] | None:
        """The model file that an input with these options names, as ``folder/name`` and path; ``None`` if none does.

        If several kinds have a file of that name, it is of the kind whose files are the options, or contain them. The
        options are asked for only then.
        """
        if not value.lower().endswith(ENDINGS) or value.startswith("/") or ".." in value.split("/"):
            return None
        # Unlike for a route, a file may be a symbolic link to any place: only its size is of interest.
        places = {kind: [place / value for place in self.places(kind)] for kind in self._kinds()}
        found = {kind: path for kind, paths in places.items() for path in reversed(paths) if path.is_file()}
        if len(found) > 1:
            wanted = {option for option in options() if isinstance(option, str) and option.lower().endswith(ENDINGS)}
            names = {kind: set(self.names(kind)) for kind in found}
            found = dict(
                sorted(found.items(), key=lambda item: (names[item[0]] != wanted, not wanted <= names[item[0]]))
            )
        return next(((f"{kind}/{value}", path) for kind, path in found.items()), None)

    def _kinds(self) -> list[str]:
        """The kinds of models, and other folders beside theirs, which belong to packs."""
        kinds = [kind for kind in MODEL_KINDS if kind not in NOT_MODELS]
        known = {place.name for kind in kinds for place in self.places(kind)}
        found = os.scandir(self._models) if self._models.is_dir() else ()
        return [*kinds, *sorted(entry.name for entry in found if entry.is_dir() and entry.name not in known)]


def _walk(place: Path, *, hidden: bool) -> Iterator[str]:
    """Names of all files below a folder, symbolic links followed; never those of a repository's own folder."""
    for folder, folders, files in os.walk(place, followlinks=True):
        folders[:] = sorted(name for name in folders if name != ".git" and (hidden or not name.startswith(".")))
        for name in sorted(files):
            if hidden or not name.startswith("."):
                yield Path(folder, name).relative_to(place).as_posix()


def metadata(path: Path) -> JsonObject | None:
    """The metadata in a ``.safetensors`` file, or ``None``. Raises ``ValueError`` for a header that is not JSON."""
    found = (_header(path, _LISTED_HEADER) or {}).get("__metadata__")
    return found if isinstance(found, dict) else None


def _header(path: Path, limit: int) -> JsonObject | None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        found: Any = json.loads(file.read(length)) if length <= limit else None
    return found if isinstance(found, dict) else None


def picture(path: Path) -> bytes | None:
    """The picture of a model as WebP: a file of its name beside it, else the first cover in its metadata.

    ``None`` if there is none, or it cannot be read. Raises ``ValueError`` for metadata that are not JSON.
    """
    from PIL import Image

    source = next(_pictures(path), None)
    if source is None:
        return None
    buffer = io.BytesIO()
    try:
        with Image.open(source) as opened:
            opened.save(buffer, "WEBP")
    except (OSError, ValueError):
        return None
    return buffer.getvalue()


def _pictures(path: Path) -> Iterator[Path | io.BytesIO]:
    stem = path.with_suffix("")
    stems = (stem, stem.with_name(f"{stem.name}.preview"))
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    for found in beside:
        if media_kind(found.name) == "image" and found.with_suffix("") in stems:
            yield found
    model = stem.with_name(f"{stem.name}.safetensors")
    if model in beside:
        covers = ((_header(model, _SEARCHED_HEADER) or {}).get("__metadata__") or {}).get("ssmd_cover_images")
        for cover in json.loads(covers) if covers else ():
            yield io.BytesIO(base64.b64decode(cover))
