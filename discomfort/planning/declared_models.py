"""Models as workflows declare them: in the ``models`` of nodes and of the workflow, and as links in its notes. Pure.

A workflow may come from anybody, so names are names: one that leaves its folder is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from discomfort._json import JsonObject
from discomfort.planning.needs import Algorithm, FileDigest
from discomfort.workflow.nodes import NOTES, iterate
from discomfort.workflow.subgraphs import group_members, objects

MODEL_SUFFIXES = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"),
    *(".gguf", ".onnx", ".engine", ".task", ".tflite", ".torchscript"),
)
"""Endings of model files: ComfyUI's own, then those of widespread packs."""

Source = Literal["models", "notes", "manager"]

_FOLDERS = {"unet": "diffusion_models", "clip": "text_encoders"}
"""Former names of folders, which ComfyUI still reads."""
_DIGITS: Mapping[str, int] = {"sha256": 64, "sha1": 40, "md5": 32, "blake3": 64, "crc32": 8}
_LINK = re.compile(r"https?://[^\s<>\"'`\])}]{1,2000}")
_FOLDER = re.compile(r"[\w.-]{1,100}")
_LONGEST_NAME = 500


@dataclass(frozen=True, slots=True)
class DeclaredModel:
    """A model file with what a workflow, or the server's manager, says about it. ``folder`` may be empty."""

    name: str
    folder: str = ""
    url: str | None = None
    digest: FileDigest | None = None
    source: Source = "models"
    node_id: str = ""

    @property
    def base(self) -> str:
        """The name without subfolders."""
        return base_name(self.name)


def is_model_name(value: object) -> bool:
    """Whether a text is the name of a file with an ending of models."""
    return isinstance(value, str) and value.casefold().endswith(MODEL_SUFFIXES) and is_contained(value)


def is_contained(name: str) -> bool:
    """Whether a name stays inside of its folder."""
    parts = re.split(r"[/\\]", name)
    plain = bool(name) and len(name) <= _LONGEST_NAME and name.isprintable() and ":" not in parts[0]
    return plain and not any(part in ("", ".", "..") for part in parts)


def base_name(name: str) -> str:
    """A name without subfolders, whichever separator they have."""
    return re.split(r"[/\\]", name)[-1]


def current_folder(name: str) -> str:
    """The present name of a folder of models."""
    return _FOLDERS.get(name, name)


def declared_models(workflow: JsonObject) -> tuple[DeclaredModel, ...]:
    """The models that a workflow lists, for nodes first, then for itself, then those that its notes link to."""
    found = [*_of_nodes(workflow), *_read_list(workflow.get("models"), ""), *_of_notes(workflow)]
    return tuple(dict.fromkeys(found))


def manager_models(answer: Any) -> tuple[DeclaredModel, ...]:
    """The models of the manager's list: ``{"models": [{"filename", "url", "save_path", …}]}``, with a known folder."""
    entries = answer.get("models") if isinstance(answer, dict) else None
    found = []
    for entry in objects(entries):
        name, folder = entry.get("filename"), str(entry.get("save_path") or "").partition("/")[0]
        if isinstance(name, str) and is_contained(name) and _FOLDER.fullmatch(folder) and folder != "default":
            found.append(DeclaredModel(name, current_folder(folder), _url(entry.get("url")), source="manager"))
    return tuple(found)


def _of_nodes(workflow: JsonObject) -> Iterator[DeclaredModel]:
    for found in iterate(workflow):
        members = group_members(workflow, found.type)
        inner = [(found.id, found.node)]
        if members is not None:
            inner += [(f"{found.id}:{index}", member) for index, member in enumerate(members)]
        for node_id, node in inner:
            properties = node.get("properties")
            if isinstance(properties, dict):
                yield from _read_list(properties.get("models"), node_id)


def _read_list(entries: Any, node_id: str) -> Iterator[DeclaredModel]:
    for entry in objects(entries):
        name, folder = entry.get("name"), entry.get("directory")
        if isinstance(name, str) and is_contained(name):
            known = current_folder(folder) if isinstance(folder, str) and _FOLDER.fullmatch(folder) else ""
            digest = read_digest(entry.get("hash_type"), entry.get("hash"))
            yield DeclaredModel(name, known, _url(entry.get("url")), digest, "models", node_id)


def _of_notes(workflow: JsonObject) -> Iterator[DeclaredModel]:
    for found in iterate(workflow):
        if found.type not in NOTES:
            continue
        values = found.node.get("widgets_values")
        for text in _texts(values):
            for link in _LINK.findall(text):
                url = _url(link.rstrip(".,;:!*_"))
                name = base_name(unquote(urlsplit(url).path)) if url is not None else ""
                if is_model_name(name):
                    yield DeclaredModel(name, url=url, source="notes")


def read_digest(kind: Any, digits: Any) -> FileDigest | None:
    """The digest that an entry gives; ``None`` if it is none, or of an unknown kind."""
    if not isinstance(kind, str) or not isinstance(digits, str):
        return None
    name, text = kind.casefold().replace("-", ""), digits.strip().casefold()
    for algorithm in get_args(Algorithm):
        if algorithm == name and re.fullmatch(rf"[0-9a-f]{{{_DIGITS[name]}}}", text):
            return FileDigest(algorithm, text)
    return None


def _url(value: Any) -> str | None:
    """An address from which a file can be fetched; a page of Hugging Face that shows one becomes the file itself."""
    if not isinstance(value, str) or len(value) > 2000 or not value.isprintable() or " " in value:
        return None
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        return None
    return value.replace("/blob/", "/resolve/", 1) if host == "huggingface.co" else value


def _texts(values: Any) -> Iterable[str]:
    found = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
    return (text for text in found if isinstance(text, str))
