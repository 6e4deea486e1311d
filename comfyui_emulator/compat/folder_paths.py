"""Stand-in for ``folder_paths``: the folders of the server that runs the node, and lists of model files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from comfyui_emulator import runtime
from comfyui_emulator.folders import annotated_path, contained, media_kind, next_save_path, split_annotation

supported_pt_extensions = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}
"""Model folders that packs added, in addition to ``models/<name>``."""

_DIRECTORIES = {
    "output_directory": "output",
    "input_directory": "input",
    "temp_directory": "temp",
    "user_directory": "user",
}


def _folders() -> runtime.Folders:
    return runtime.context().folders


def _base() -> Path:
    return _folders().base or _folders().output.parent


def _models() -> Path:
    return _folders().models or _base() / "models"


def __getattr__(name: str) -> Any:
    if name in _DIRECTORIES:
        return str(getattr(_folders(), _DIRECTORIES[name]))
    if name == "base_path":
        return str(_base())
    if name == "models_dir":
        return str(_models())
    raise AttributeError(f"folder_paths.{name} is not in the discomfort emulator: run this pack on a real ComfyUI")


def get_output_directory() -> str:
    """The folder for results."""
    return str(_folders().output)


def get_temp_directory() -> str:
    """The folder for previews."""
    return str(_folders().temp)


def get_input_directory() -> str:
    """The folder for uploads."""
    return str(_folders().input)


def get_user_directory() -> str:
    """The folder for settings."""
    return str(_folders().user)


def get_directory_by_type(type_name: str) -> str | None:
    """The folder that a file reference calls ``input``, ``output`` or ``temp``."""
    found = _folders().by_type(type_name)
    return None if found is None else str(found)


def filter_files_content_types(files: Iterable[str], content_types: Collection[str]) -> list[str]:
    """The files of these media types; the type is guessed from the name."""
    return [name for name in files if media_kind(name) in content_types]


def filter_files_extensions(files: Collection[str], extensions: Collection[str]) -> list[str]:
    """The files with one of these extensions, sorted; all files if none are given."""
    return sorted(name for name in files if not extensions or os.path.splitext(name)[-1].lower() in extensions)  # noqa: PTH122


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """Split ``name [folder]`` into the name and the folder's path."""
    plain, kind = split_annotation(name)
    return plain, None if kind is None else get_directory_by_type(kind)


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The path of ``name [folder]``. Raises ``ValueError`` if it is outside that folder."""
    plain, folder = annotated_filepath(name)
    root = Path(folder or default_dir or get_input_directory())
    path = contained(root, plain)
    if path is None:
        raise ValueError(f"Invalid file path: {plain!r}")
    return str(root / plain)


def exists_annotated_filepath(name: str) -> bool:
    """Whether the file ``name [folder]`` exists."""
    path = annotated_path(_folders(), name)
    return path is not None and path.exists()


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """The next path for a saver: folder, file stem, counter, subfolder, prefix.

    Raises ``ValueError`` for a prefix that leaves ``output_dir``.
    """
    folder, stem, counter, subfolder = next_save_path(filename_prefix, Path(output_dir), image_width, image_height)
    return str(folder), stem, counter, subfolder, filename_prefix


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    """Add a folder in which models of a kind are searched for."""
    paths, _ = folder_names_and_paths.setdefault(folder_name, ([], set()))
    if full_folder_path not in paths:
        paths.insert(0 if is_default else len(paths), full_folder_path)


def get_folder_paths(folder_name: str) -> list[str]:
    """All folders for a kind of model."""
    own = str(_models() / folder_name)
    return [*folder_names_and_paths.get(folder_name, ([], set()))[0], own]


def get_filename_list(folder_name: str) -> list[str]:
    """The model files in these folders, as paths relative to them."""
    endings = folder_names_and_paths.get(folder_name, ([], set()))[1] or supported_pt_extensions
    found = {
        path.relative_to(root).as_posix()
        for root in map(Path, get_folder_paths(folder_name))
        for path in root.rglob("*")
        if path.is_file()
    }
    return filter_files_extensions(found, endings)


def get_full_path(folder_name: str, filename: str) -> str | None:
    """The path of a model file, or ``None``."""
    for root in map(Path, get_folder_paths(folder_name)):
        path = contained(root, filename)
        if path is not None and path.is_file():
            return str(root / filename)
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    """The path of a model file. Raises ``FileNotFoundError`` if there is none."""
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"Model in folder '{folder_name}' with filename '{filename}' not found.")
    return path


def get_input_subfolders() -> list[str]:
    """All folders below the input folder."""
    root = _folders().input
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir())
