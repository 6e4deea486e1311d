"""Distinguishes workflows (saved by the UI) from prompts (accepted by the API), and reads both from JSON and PNG.

A *workflow* is an object with a ``nodes`` list (LiteGraph schema 0.4 with links as lists, 1.0 with links as objects,
with or without ``definitions.subgraphs``). A *prompt* is an object of nodes by id, each with ``class_type`` and
``inputs``. The body of ``POST /prompt``, ``{"prompt": {…}, …}``, counts as the prompt inside it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from itertools import accumulate
from typing import Any, Literal

import orjson

from discomfort._json import JsonObject
from discomfort.exceptions import PayloadError
from discomfort.workflow.json_values import MAX_DEPTH, describe

Kind = Literal["workflow", "prompt"]

MAX_BYTES = 64 * 1024 * 1024
"""Largest payload that is parsed, in bytes."""

MAX_CONTAINERS = 4_000_000
"""Maximum number of lists and objects in a payload: each becomes a Python object of 60 bytes or more."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Every opening quote matches to its end or to the end of the text, so that broken input is scanned in linear time too.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[0-9]{20}")
_NOT_BRACKETS = re.compile(rb"[^\[\]{}]+")


def classify(payload: object) -> Kind:
    """Return whether a payload is a workflow or a prompt.

    Returns ``"prompt"`` for the API envelope ``{"prompt": {…}}`` too; :func:`unwrap` returns the prompt inside.

    Raises :class:`PayloadError`, which says what was found and where, for everything else.
    """
    return unwrap(payload)[0]


def unwrap(payload: object) -> tuple[Kind, JsonObject]:
    """Like :func:`classify`, but also return the graph itself, taken out of the API envelope if there is one.

    The graph is the caller's object, not a copy. Raises :class:`PayloadError` like :func:`classify`.
    """
    if not isinstance(payload, dict):
        raise PayloadError(f"neither a workflow nor a prompt: expected an object, found {describe(payload)}")
    if not payload:
        raise PayloadError("neither a workflow nor a prompt: the object is empty")
    if isinstance(payload.get("nodes"), list):
        _check_workflow(payload)
        return "workflow", payload
    inner = payload.get("prompt")
    if isinstance(inner, dict) and "class_type" not in inner and "class_type" not in payload:
        if not inner:
            raise PayloadError("the 'prompt' inside the API envelope is empty")
        _check_prompt(inner, "prompt.")
        return "prompt", inner
    _check_prompt(payload, "")
    return "prompt", payload


def parse_payload(data: str | bytes) -> JsonObject:
    """Parse the JSON text of a workflow or prompt.

    Accepts a byte order mark, UTF-16 with such a mark, and bare ``NaN`` and ``Infinity`` (ComfyUI writes them). The
    text may have up to 64 MiB, four million brackets and 200 levels of nesting. Time and memory are linear in its size.

    Raises :class:`PayloadError` with line and column if the text is not JSON, and if it is not a JSON object.
    """
    raw = _encode(data)
    if len(raw) > MAX_BYTES:
        raise PayloadError(f"the payload has {len(raw)} bytes, more than the {MAX_BYTES} that are accepted")
    if not raw.strip():
        raise PayloadError("the payload is empty")
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise PayloadError(f"the payload has more than {MAX_CONTAINERS} lists and objects")
    value = _load(raw)
    if not isinstance(value, dict):
        raise PayloadError(f"neither a workflow nor a prompt: expected an object, found {describe(value)}")
    return value


def payload_from_file(data: bytes) -> JsonObject:
    """The graph in the content of a file: JSON text, or a PNG as :func:`payload_from_png` reads it."""
    return payload_from_png(data) if data.startswith(_PNG_SIGNATURE) else parse_payload(data)


def payload_from_png(data: bytes) -> JsonObject:
    """Read the graph that ComfyUI stores in a picture: its ``workflow`` text chunk, else its ``prompt``.

    Understands ``tEXt``, ``zTXt`` and ``iTXt`` chunks. Raises :class:`PayloadError` if it is not a PNG, is damaged,
    or has no graph (a server started with ``--disable-metadata`` writes none).
    """
    if not data.startswith(_PNG_SIGNATURE):
        raise PayloadError("not a PNG file")
    # Not Pillow: its process-wide limits refuse the text of very large pictures and compressed text above 1 MiB, and
    # it reads the UTF-8 that other programs write as Latin-1.
    texts: dict[str, bytes] = {}
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            raise PayloadError("the PNG file is truncated")
        if kind in {b"tEXt", b"zTXt", b"iTXt"}:
            _read_text_chunk(kind, data[position + 8 : position + 8 + length], texts)
        position += 12 + length
    for key in ("workflow", "prompt"):
        if texts.get(key, b"null").strip() not in {b"null", b"{}", b""}:
            return parse_payload(texts[key])
    raise PayloadError("the PNG file carries no workflow: it was saved without metadata, or edited since")


def _encode(data: str | bytes) -> bytes:
    if isinstance(data, str):
        if len(data) > MAX_BYTES:
            raise PayloadError(f"the payload has {len(data)} characters, more than the {MAX_BYTES} bytes accepted")
        try:
            return data.removeprefix("\ufeff").encode()
        except UnicodeEncodeError as error:
            raise PayloadError(f"the payload holds half a surrogate pair at character {error.start}") from error
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        try:
            return data.decode("utf-16").encode()
        except UnicodeError as error:
            raise PayloadError(f"the payload has a UTF-16 byte order mark but is not UTF-16: {error}") from error
    return data.removeprefix(b"\xef\xbb\xbf")


def _load(raw: bytes) -> Any:
    # The fast parser silently rounds integers beyond 64 bits.
    value = None if _LONG_NUMBER.search(raw) else _load_fast(raw)
    if value is None:
        # Python's parser accepts NaN and gives line and column, but it recurses, so the nesting is checked first.
        _check_text_depth(raw)
        value = _load_tolerantly(raw)
    _check_depth(value)
    return value


def _load_fast(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _load_tolerantly(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        # Some of Python's messages end in "at", expecting a position to follow.
        reason = error.msg.removesuffix(" at")
        raise PayloadError(f"not JSON: {reason} at line {error.lineno} column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise PayloadError(f"not JSON: byte {error.start} is not UTF-8") from error
    except ValueError as error:  # an integer with more digits than Python is willing to convert
        raise PayloadError(f"JSON that cannot be read: {error}") from error


def _check_text_depth(raw: bytes) -> None:
    brackets = _NOT_BRACKETS.sub(b"", _STRING.sub(b"", raw))
    depths = accumulate(1 if code in b"[{" else -1 for code in brackets)
    if max(depths, default=0) > MAX_DEPTH:
        raise PayloadError(f"the payload is nested deeper than {MAX_DEPTH} levels")


def _check_depth(value: Any) -> None:
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise PayloadError(f"the payload is nested deeper than {MAX_DEPTH} levels")


def _read_text_chunk(kind: bytes, body: bytes, texts: dict[str, bytes]) -> None:
    name, _, rest = body.partition(b"\0")
    key = name.decode("latin-1")
    if key not in {"workflow", "prompt"}:
        return
    compressed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        compressed = rest[:1] == b"\x01"
        rest = rest[2:].split(b"\0", 2)[-1]
    if compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, MAX_BYTES + 1)
        except zlib.error as error:
            raise PayloadError(f"the {key} chunk of the PNG file is damaged: {error}") from error
    texts[key] = rest


def _check_workflow(workflow: JsonObject) -> None:
    if not workflow["nodes"]:
        raise PayloadError("the workflow has no nodes")
    stray = next((k for k, v in workflow.items() if isinstance(v, dict) and "class_type" in v), None)
    if stray is not None:
        raise PayloadError(f"a mixture of workflow and prompt: a 'nodes' list, and a prompt's node at key {stray!r}")
    _check_graph(workflow, "")
    definitions = workflow.get("definitions") or {}
    if not isinstance(definitions, dict):
        raise PayloadError(f"workflow: 'definitions' is {describe(definitions)}, not an object")
    subgraphs = definitions.get("subgraphs") or []
    if not isinstance(subgraphs, list):
        raise PayloadError(f"workflow: 'definitions.subgraphs' is {describe(subgraphs)}, not a list")
    for index, subgraph in enumerate(subgraphs):
        place = f"definitions.subgraphs[{index}]"
        if not isinstance(subgraph, dict) or not isinstance(subgraph.get("id"), str):
            raise PayloadError(f"workflow: {place} is {describe(subgraph)}, not an object with a string as its id")
        if not isinstance(subgraph.get("nodes"), list):
            raise PayloadError(f"workflow: {place}.nodes is {describe(subgraph.get('nodes'))}, not a list")
        _check_graph(subgraph, f"{place}.")


def _check_graph(graph: JsonObject, place: str) -> None:
    links = graph.get("links")
    if links is not None and not isinstance(links, list | dict):
        raise PayloadError(f"workflow: '{place}links' is {describe(links)}, not a list")
    for index, node in enumerate(graph["nodes"]):
        where = f"{place}nodes[{index}]"
        if not isinstance(node, dict):
            raise PayloadError(f"workflow: {where} is {describe(node)}, not an object")
        if "class_type" in node and "type" not in node:
            raise PayloadError(f"workflow: {where} has 'class_type', which belongs in a prompt, and no 'type'")
        if not isinstance(node.get("type"), str):
            raise PayloadError(f"workflow: {where}.type is {describe(node.get('type'))}, not a string")
        # A node without an id is valid: the frontend assigns one.
        if not isinstance(node.get("id"), int | float | str | None) or isinstance(node.get("id"), bool):
            raise PayloadError(f"workflow: {where}.id is {describe(node.get('id'))}, neither a number nor a string")


def _hint(payload: JsonObject) -> str:
    """A guess, in brackets, at what the caller meant when the object is neither."""
    if isinstance(payload.get("nodes"), list):
        return " (this is a workflow: pass it without the object around it)"
    if "nodes" in payload:
        return f" ('nodes' is {describe(payload['nodes'])}, a workflow has a list there)"
    if isinstance(payload.get("output"), dict) and "workflow" in payload:
        return " (its 'output' may be the prompt, its 'workflow' the workflow: pass one of them)"
    inner = (key for key, value in payload.items() if isinstance(value, dict) and isinstance(value.get("nodes"), list))
    found = next(inner, None)
    return "" if found is None else f" (its {found!r} is a workflow: pass that)"


def _check_prompt(prompt: JsonObject, place: str) -> None:
    nodes = sum(isinstance(node, dict) and "class_type" in node for node in prompt.values())
    if not nodes:
        raise PayloadError(f"neither a workflow nor a prompt: found {describe(prompt)}{_hint(prompt)}")
    for key, node in prompt.items():
        if not isinstance(key, str):
            raise PayloadError(f"prompt: the node id {key!r} is of type {type(key).__name__}, not a string")
        where = f"prompt: node {place}{key}"
        if not isinstance(node, dict):
            raise PayloadError(f"{where} is {describe(node)}, not an object with class_type and inputs")
        if not isinstance(node.get("class_type"), str):
            unknown = (
                " (the frontend writes null for a node type that it does not know)" if "class_type" in node else ""
            )
            raise PayloadError(f"{where}: class_type is {describe(node.get('class_type'))}, not a string{unknown}")
        if not isinstance(node.get("inputs"), dict):
            raise PayloadError(f"{where}: inputs is {describe(node.get('inputs'))}, not an object")
