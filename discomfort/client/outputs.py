"""The outputs in a history: everything that nodes returned, each with its node, as bytes, image or saved file."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from discomfort._json import JsonObject, copied
from discomfort._system.atomic_files import publish
from discomfort._system.concurrency import in_own_thread, to_thread
from discomfort._system.disk_space import writing_to
from discomfort._system.filenames import safe_filename
from discomfort.client.artifact import Artifact, ArtifactKind, digest_of
from discomfort.client.notebook import as_html, view_blocking
from discomfort.client.outcomes import record_prompt
from discomfort.client.picture_decoding import open_image
from discomfort.client.protocol import title_and_class
from discomfort.client.rest import RestClient
from discomfort.exceptions import PayloadError, StateError

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = ArtifactKind
Folder = Literal["output", "temp", "input"]

_MEDIA_TYPES: dict[str, str] = {
    ".png": "image/png",
    ".apng": "image/apng",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".jxl": "image/jxl",
    ".heic": "image/heic",
    ".exr": "image/x-exr",
    ".hdr": "image/vnd.radiance",
    ".tga": "image/x-tga",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".ogv": "video/ogg",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".aiff": "audio/aiff",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".obj": "model/obj",
    ".ply": "model/ply",
    ".stl": "model/stl",
    ".fbx": "model/fbx",
    ".usdz": "model/vnd.usdz+zip",
    ".splat": "model/x-splat",
    ".spz": "model/x-spz",
    ".ksplat": "model/x-ksplat",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".json": "application/json",
    ".latent": "application/octet-stream",
    ".safetensors": "application/octet-stream",
}
_FOLDERS = frozenset({"output", "temp", "input"})
_KINDS: dict[str, Kind] = {"image": "image", "video": "video", "audio": "audio", "model": "3d"}
_MOVING = frozenset({"image/gif", "image/webp", "image/apng", "image/avif"})
# Kinds of files that Pillow may be able to open: "video" has animated pictures among them.
_PILLOW_KINDS = frozenset({"image", "video", "file"})


@dataclass(slots=True, eq=False)
class OutputFields:
    """What is known of one item that a node returned, without its content.

    ``key`` is the list in the node's result that holds it (``images``, ``gifs``, ``audio``, ``text``, ``3d``, …),
    ``index`` its position there, ``value`` the item as the server sent it. ``kind`` is ``image``, ``video`` (moving
    pictures of any format), ``audio``, ``3d``, ``text``, ``file`` (any other file) or ``value`` (any other JSON).
    Files have ``filename``, ``subfolder``, ``folder`` (``output``, ``temp``, ``input``) and, if known, ``media_type``.
    ``title`` and ``class_type`` are those in the prompt that ran.
    """

    node_id: str
    title: str
    class_type: str
    kind: Kind
    key: str
    index: int
    value: Any = field(repr=False)
    filename: str | None = None
    subfolder: str = ""
    folder: Folder = "output"
    media_type: str | None = None
    animated: bool = False
    prompt_id: str = ""


@dataclass(slots=True, eq=False)
class Output(OutputFields):
    """One item that a node returned; its content is read from the server on demand, unless it came with the run."""

    _rest: RestClient | None = field(default=None, repr=False)
    _content: Artifact | None = field(default=None, repr=False)

    async def read(self) -> bytes:
        """The content: the bytes of the file, a text as UTF-8, any other value as JSON.

        Raises ServerConnectionError, ServerResponseError (404 if the file is gone), StateError without a server.
        Safe to cancel.
        """
        if self.filename is None:
            return self._inline()
        if self._content is not None:
            return await in_own_thread(self._content.read)
        return await self._client().view(self.filename, self.subfolder, self.folder)

    async def image(self) -> Image:
        """The file as a Pillow image, fully loaded, in its stored mode; nothing is converted.

        Raises PayloadError if Pillow cannot read it, and as :meth:`read`. Safe to cancel.
        """
        if self.filename is None or self.kind not in _PILLOW_KINDS:
            raise PayloadError(f"output {self.key}[{self.index}] of node {self.node_id} is {self.kind}, not a picture")
        return await to_thread(open_image, await self.read(), self.filename)

    async def save(self, directory: str | os.PathLike[str], name: str | None = None) -> Path:
        """Save into ``directory``, which is created if it is missing, and return the path.

        The file gets ``name``, or its name on the server, made safe and without the subfolder; if that exists, `` (2)``
        and so on. It appears complete or not at all: it is streamed under a temporary name, which is removed on error
        and cancellation. Texts become ``.txt``, other values ``.json``.

        Raises ValueError if ``name`` is not a plain file name, DiskFullError and other kinds of OSError, and as
        :meth:`read`.
        """
        if name is not None and safe_filename(name, "_") != name:
            raise ValueError(f"{name!r} is not a plain file name")
        target, name = Path(directory), name or self._default_name()
        with writing_to(target, "saving", target / name):
            # Not in a thread: a cancellation would leave the file behind. It takes microseconds.
            temporary, stream = _open_temporary(target)
            try:
                with contextlib.closing(stream):
                    if self.filename is None:
                        stream.write(self._inline())
                    elif self._content is not None:
                        await self._content.copy_to(stream)
                    else:
                        await self._client().view_to(stream, self.filename, self.subfolder, self.folder)
                    # A full disk may show only here.
                    stream.flush()
                return await to_thread(publish, temporary, target, name)
            finally:
                temporary.unlink(missing_ok=True)

    async def artifact(self, directory: str | os.PathLike[str] | None = None, name: str | None = None) -> Artifact:
        """The output as plain data that can be pickled and needs no server.

        Without ``directory`` the content is read into memory. With it, the content is saved there as by :meth:`save`,
        and the artifact has its path. Raises as :meth:`read` and :meth:`save`.
        """
        data, path = None, None
        if directory is None:
            data = await self.read()
            size, digest = await to_thread(digest_of, data)
        else:
            path = saved = await self.save(directory, name)
            size, digest = await in_own_thread(lambda: digest_of(saved))
        return Artifact(
            self.node_id, self.title, self.class_type, self.kind, self.filename, self._mime(), size, digest,
            key=self.key, index=self.index, prompt_id=self.prompt_id, data=data, path=path,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """Shows the content in a notebook. The notebook's event loop stands still while it is read, 10 s at most."""
        return as_html([self])

    def _read_blocking(self) -> bytes | None:
        if self.filename is None:
            return self._inline()
        if self._content is not None:
            return self._content.read()
        return view_blocking(self._client(), self.filename, self.subfolder, self.folder)

    def _mime(self) -> str | None:
        if self.filename is not None:
            return self.media_type
        return "text/plain" if isinstance(self.value, str) else "application/json"

    def _default_name(self) -> str:
        plain = f"{self.node_id}_{self.key}_{self.index}"
        if self.filename is not None:
            return safe_filename(self.filename, plain)
        return safe_filename(f"{plain}.{'txt' if self.kind == 'text' else 'json'}")

    def _inline(self) -> bytes:
        if isinstance(self.value, str):
            return self.value.encode("utf-8", "replace")
        return json.dumps(self.value, ensure_ascii=False).encode("utf-8", "replace")

    def _client(self) -> RestClient:
        if self._rest is None:
            raise StateError(f"there is no server to read {self.filename!r} from")
        return self._rest


def collect_outputs(history: JsonObject, rest: RestClient | None) -> list[Output]:
    """Every output in a history ``{prompt_id: record}``, in the order of the prompt's nodes. No I/O.

    Files are read through ``rest`` later, on demand. The keys of ``outputs`` name an output's node; the record's
    ``meta`` may name another node that returned the same from the cache.
    """
    found: list[Output] = []
    for prompt_id, record in history.items():
        outputs = record.get("outputs") if isinstance(record, Mapping) else None
        if not isinstance(outputs, Mapping):
            continue
        prompt = record_prompt(record)
        places = {node_id: place for place, node_id in enumerate(prompt)}
        for node_id in sorted(outputs, key=lambda key: places.get(key, len(places))):
            title, class_type = _node(record, prompt, node_id)
            # A copy: later changes of the history must not change an output, nor the other way round.
            for output in _of_node(node_id, title, class_type, copied(outputs[node_id])):
                output.prompt_id, output._rest = str(prompt_id), rest
                found.append(output)
    return found


def outputs_with(history: JsonObject, artifacts: Iterable[Artifact]) -> list[Output]:
    """As :func:`collect_outputs`, with contents that need no server: those of the artifacts made of the outputs."""
    contents = {(each.prompt_id, each.node_id, each.key, each.index): each for each in artifacts}
    found = collect_outputs(history, None)
    for output in found:
        output._content = contents.get((output.prompt_id, output.node_id, output.key, output.index))
    return found


def _node(record: Mapping[str, Any], prompt: JsonObject, node_id: str) -> tuple[str, str]:
    """Title and class; a node created by expansion is shown as the node that it came from."""
    if node_id not in prompt:
        meta = record.get("meta")
        about = meta.get(node_id) if isinstance(meta, Mapping) else None
        shown = about.get("display_node") if isinstance(about, Mapping) else None
        node_id = shown if isinstance(shown, str) and shown in prompt else node_id.partition(".")[0]
    title, class_type = title_and_class(prompt, node_id)
    return title or node_id, class_type or ""


def _of_node(node_id: str, title: str, class_type: str, result: object) -> Iterator[Output]:
    if not isinstance(result, Mapping):
        if result is not None:
            yield Output(node_id, title, class_type, "value", "", 0, result)
        return
    animated = _flags(result.get("animated"))
    for key, items in result.items():
        if key == "animated" and animated:
            continue
        for index, item in enumerate(items if isinstance(items, list) else [items]):
            output = Output(node_id, title, class_type, "value", str(key), index, item)
            if isinstance(item, str):
                output.kind = "text"
            elif isinstance(item, Mapping) and isinstance(item.get("filename"), str) and item["filename"]:
                moves = bool(animated) and animated[min(index, len(animated) - 1)]
                _describe_file(output, item, moves=moves)
            yield output


def _flags(value: object) -> list[bool]:
    """The value of ``animated``: for each file beside it, whether it moves; empty for any other value."""
    return value if isinstance(value, list) and all(isinstance(flag, bool) for flag in value) else []


def _describe_file(output: Output, item: Mapping[str, Any], *, moves: bool) -> None:
    output.filename = item["filename"]
    subfolder, folder, declared = item.get("subfolder"), item.get("type"), item.get("format")
    output.subfolder = subfolder if isinstance(subfolder, str) else ""
    output.folder = cast("Folder", folder) if isinstance(folder, str) and folder in _FOLDERS else "output"
    output.media_type = _MEDIA_TYPES.get(os.path.splitext(item["filename"])[1].lower())  # noqa: PTH122 - not a path here
    if output.media_type is None and isinstance(declared, str) and declared.partition("/")[1]:
        output.media_type = declared
    output.kind = _KINDS.get((output.media_type or "").partition("/")[0], "file")
    output.animated = moves
    # Packs that make videos list every result as ``gifs``, whatever its format.
    if output.kind == "image" and (moves or (output.key == "gifs" and output.media_type in _MOVING)):
        output.kind, output.animated = "video", True


def _open_temporary(directory: Path) -> tuple[Path, BinaryIO]:
    directory.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose files only their owner may read: this one becomes an ordinary file.
    path = directory / f".discomfort-{uuid.uuid4().hex}.part"
    return path, path.open("xb")
