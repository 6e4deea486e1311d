"""The server's folders for each kind of model, and names that stay inside of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discomfort.exceptions import UploadError
from discomfort.files.places import check_name

_LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}
"""Former names of kinds, which ComfyUI still takes."""

_NO_MODELS = frozenset({"configs", "custom_nodes", "datasets"})
"""Kinds whose files are not models: ComfyUI reads or runs them as something else."""

USUAL_ENDINGS = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".gguf", ".onnx"})
_MAY_HAVE_CODE = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl"})
_LONGEST_NAME = 200
"""Bytes of a file's name: the partial file has a longer one, and file systems allow 255."""


@dataclass(frozen=True, slots=True)
class KindFolder:
    """The folders of one kind of model, in the order in which ComfyUI searches them, and the endings that it lists."""

    kind: str
    paths: tuple[Path, ...]
    endings: frozenset[str] = frozenset()

    @property
    def preferred(self) -> Path:
        """Where a new file goes: the first path, or the one beside it that has the name of the kind.

        ComfyUI searches ``models/unet`` before ``models/diffusion_models``, which took its place.
        """
        first = self.paths[0]
        beside = (path for path in self.paths if path.parent == first.parent and path.name == self.kind)
        return next(beside, first)


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """A file below ``root``, a folder of its ``kind``: ``parts`` are the subfolders. ``others`` may have it already."""

    root: Path
    parts: tuple[str, ...]
    name: str
    kind: str
    others: tuple[Path, ...] = ()

    @property
    def path(self) -> Path:
        """The whole path."""
        return self.root.joinpath(*self.parts, self.name)

    @property
    def places(self) -> tuple[Path, ...]:
        """Where else the server would find a file of this name."""
        return tuple(other.joinpath(*self.parts, self.name) for other in self.others)

    @property
    def may_have_code(self) -> bool:
        """Whether files of this kind may contain code that runs when they are read."""
        return Path(self.name).suffix.lower() in _MAY_HAVE_CODE


class NoPlaceError(Exception):
    """A model belongs nowhere; the text is the reason."""


def read_kinds(answer: Any) -> dict[str, KindFolder]:
    """The kinds of models by name, from the answer of ``/experiment/models``. What is not understood is left out."""
    found: dict[str, KindFolder] = {}
    for each in answer if isinstance(answer, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            continue
        folders, endings = each.get("folders"), each.get("extensions")
        paths = tuple(Path(path) for path in folders if _is_path(path)) if isinstance(folders, list) else ()
        known = frozenset(end for end in endings if isinstance(end, str)) if isinstance(endings, list) else frozenset()
        if paths and each["name"] not in _NO_MODELS:
            found[each["name"]] = KindFolder(each["name"], paths, known)
    return found


def kinds_below(folder: Path, known: dict[str, KindFolder]) -> dict[str, KindFolder]:
    """Each subfolder of a folder of models as a kind, and the ``known`` kinds there. Blocking; raises OSError."""
    names = [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = {name: KindFolder(name, (folder / name,)) for name in names if name not in _NO_MODELS}
    return found | {name: KindFolder(name, (folder / name,), kind.endings) for name, kind in known.items()}


def place_of(kind: str, name: str, kinds: dict[str, KindFolder], extra_endings: Collection[str] = ()) -> ModelTarget:
    """Where the model ``name`` of that kind belongs. Raises NoPlaceError, which names the problem and the remedy."""
    if not kind:
        raise NoPlaceError("nothing tells what kind of model it is, so its folder is not known")
    known = kinds.get(kind) or kinds.get(_LEGACY.get(kind, ""))
    if known is None:
        raise NoPlaceError(f"the server has no folder for models of the kind {kind!r}")
    parts = name.split("/")
    try:
        for part in parts:
            check_name(part, "the name")
    except UploadError as error:
        raise NoPlaceError(f"it would leave its folder, or its name is not valid everywhere: {error}") from error
    if any(part.startswith(".") for part in parts) or len(parts[-1].encode()) > _LONGEST_NAME:
        raise NoPlaceError("its name is hidden, or too long")
    ending = Path(parts[-1]).suffix.lower()
    if ending not in (known.endings or USUAL_ENDINGS) and ending not in _lower(extra_endings):
        listed = ", ".join(sorted(known.endings or USUAL_ENDINGS))
        raise NoPlaceError(
            f"its ending {ending!r} is not one of a model there ({listed}); "
            "pass extensions=[…] (--extension) if it is one all the same"
        )
    root = known.preferred
    others = tuple(path for path in known.paths if path != root)
    return ModelTarget(root, tuple(parts[:-1]), parts[-1], known.kind, others)


def _lower(endings: Collection[str]) -> Sequence[str]:
    return [end.lower() for end in endings]


def _is_path(path: object) -> bool:
    return isinstance(path, str) and Path(path).is_absolute() and "\0" not in path
