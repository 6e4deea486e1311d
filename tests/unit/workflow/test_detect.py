"""Telling workflows from prompts, and reading both from text and pictures."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from discomfort.exceptions import PayloadError
from discomfort.workflow import classify, parse_payload, payload_from_png, unwrap
from discomfort.workflow.detect import MAX_BYTES

NODE = {"class_type": "Empty", "inputs": {}}
FLOW_NODE = {"id": 1, "type": "Empty"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
payload_like = json_values | st.fixed_dictionaries(
    {},
    optional={
        "nodes": json_values | st.lists(st.just(FLOW_NODE) | json_values, max_size=3),
        "links": json_values,
        "definitions": json_values | st.fixed_dictionaries({"subgraphs": json_values}),
        "prompt": json_values | st.dictionaries(st.text(max_size=2), st.just(NODE) | json_values, max_size=3),
        "3": st.just(NODE) | json_values,
    },
)


@pytest.mark.parametrize(
    "payload",
    [
        {"nodes": [FLOW_NODE], "links": []},
        {"nodes": [FLOW_NODE], "links": [[1, 1, 0, 2, 0, "IMAGE"]], "version": 0.4},
        {"nodes": [{"id": "a", "type": "X"}], "links": [{"id": 1, "origin_id": 1}], "version": 1},
        {"nodes": [FLOW_NODE]},
        {"nodes": [{"type": "X"}, {"type": "X", "id": None}, {"type": "X", "id": 5.0}]},
        {"nodes": [FLOW_NODE], "links": [], "definitions": {"subgraphs": [{"id": "u", "nodes": [FLOW_NODE]}]}},
    ],
)
def test_workflows_of_every_schema_are_workflows(payload: dict[str, Any]) -> None:
    """LiteGraph 0.4 and 1.0, with and without links and subgraphs, are recognised."""
    assert classify(payload) == "workflow"


def test_a_prompt_is_returned_as_it_is() -> None:
    """A prompt is recognised and not copied."""
    prompt = {"3": NODE, "prompt": NODE}

    kind, graph = unwrap(prompt)

    assert kind == "prompt"
    assert graph is prompt


def test_the_api_envelope_is_opened() -> None:
    """The body of POST /prompt counts as the prompt inside it."""
    inner = {"3": NODE}

    assert classify({"prompt": inner, "client_id": "x"}) == "prompt"
    assert unwrap({"prompt": inner, "client_id": "x"})[1] is inner


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "found null"),
        ([], "found an empty list"),
        ([1, 2], "found a list of 2 items"),
        ("x", "found the string 'x'"),
        (7, "found the number 7"),
        (True, "found the boolean true"),
        ({}, "is empty"),
        ({"a": 1}, "an object with the keys 'a'"),
        ({"prompt": {}}, "envelope is empty"),
        ({"prompt": {"3": {}}}, "an object with the keys '3'"),
        ({"prompt": {"3": NODE, "4": []}}, "node prompt.4 is an empty list"),
        ({"nodes": []}, "has no nodes"),
        ({"nodes": {}}, "'nodes' is an empty object"),
        ({"output": {"3": NODE}, "workflow": {}}, "pass one of them"),
        ({"workflow": {"nodes": [FLOW_NODE]}}, "its 'workflow' is a workflow: pass that"),
        ({"prompt": {"nodes": [FLOW_NODE]}}, "this is a workflow: pass it without the object around it"),
        ({"nodes": [FLOW_NODE], "3": NODE}, "mixture"),
        ({"nodes": [FLOW_NODE, 5]}, "nodes[1] is the number 5"),
        ({"nodes": [NODE]}, "nodes[0] has 'class_type'"),
        ({"nodes": [{"id": 1, "type": None}]}, "nodes[0].type is null"),
        ({"nodes": [{"type": "X", "id": []}]}, "nodes[0].id is an empty list"),
        ({"nodes": [{"type": "X", "id": True}]}, "nodes[0].id is the boolean true"),
        ({"nodes": [FLOW_NODE], "links": 3}, "'links' is the number 3"),
        ({"nodes": [FLOW_NODE], "definitions": [1]}, "'definitions' is a list"),
        ({"nodes": [FLOW_NODE], "definitions": {"subgraphs": {"a": 1}}}, "not a list"),
        ({"nodes": [FLOW_NODE], "definitions": {"subgraphs": [{}]}}, "subgraphs[0] is an empty object"),
        ({"nodes": [FLOW_NODE], "definitions": {"subgraphs": [{"id": "u"}]}}, "subgraphs[0].nodes is null"),
        (
            {"nodes": [FLOW_NODE], "definitions": {"subgraphs": [{"id": "u", "nodes": [1]}]}},
            "definitions.subgraphs[0].nodes[0] is the number 1",
        ),
        ({"3": NODE, "version": 0.4}, "node version is the number 0.4"),
        ({"3": NODE, "4": {"class_type": None, "inputs": {}}}, "node 4: class_type is null"),
        ({"3": NODE, "4": {"inputs": {}}}, "node 4: class_type is null, not a string"),
        ({"3": {"class_type": "X", "inputs": []}}, "node 3: inputs is an empty list"),
        ({3: NODE}, "node id 3 is of type int"),
    ],
)
def test_what_is_neither_is_named(payload: object, text: str) -> None:
    """The error says what was found and where."""
    with pytest.raises(PayloadError) as caught:
        classify(payload)

    assert text in str(caught.value)


@given(payload_like)
@settings(deadline=None, derandomize=True)
def test_classify_answers_or_raises_its_error(payload: object) -> None:
    """Any JSON value is classified as one of the two kinds, or raises PayloadError."""
    try:
        kind: str = classify(payload)
    except PayloadError:
        kind = "refused"

    assert kind in {"workflow", "prompt", "refused"}


@pytest.mark.parametrize(
    "data",
    [
        '{"a": [1, 2.5, null]}',
        b'{"a": [1, 2.5, null]}',
        '\ufeff{"a": [1, 2.5, null]}',
        b'\xef\xbb\xbf{"a": [1, 2.5, null]}',
        '\ufeff{"a": [1, 2.5, null]}'.encode("utf-16-le"),
    ],
)
def test_text_bytes_and_marks_are_read(data: str | bytes) -> None:
    """Text, UTF-8, byte order marks and UTF-16 all give the object."""
    assert parse_payload(data) == {"a": [1, 2.5, None]}


def test_nan_duplicates_and_proto_are_harmless() -> None:
    """Bare NaN is a float, the last of two equal keys wins, and ``__proto__`` is a key like any other."""
    parsed = parse_payload('{"n": NaN, "a": 1, "a": 2, "__proto__": {"x": -Infinity}}')

    assert parsed["n"] != parsed["n"]
    assert parsed["a"] == 2
    assert parsed["__proto__"] == {"x": float("-inf")}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "is empty"),
        (" \n ", "is empty"),
        ('{"a": [1,\n  2', "line 2 column 4"),
        ('{"a": "\n', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"\xff\xfe\x00", "UTF-16"),
        ('{"a": "\ud800"}', "surrogate"),
        ("[1]", "a list of 1 item"),
        ("null", "found null"),
        ('{"a": ' + "[" * 201 + "]" * 201 + "}", "deeper than 200"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "deeper than 200"),
        ('{"a": ' + "[" * 100_000, "deeper than 200"),
        ('{"n": NaN, "a": ' + "[" * 5000 + "]" * 5000 + "}", "deeper than 200"),
        ('{"n": NaN, "a": ' + "9" * 5000 + "}", "cannot be read"),
    ],
)
def test_what_is_not_json_is_explained(data: str | bytes, text: str) -> None:
    """Broken text, deep nesting and other encodings raise PayloadErrors that give the position."""
    with pytest.raises(PayloadError) as caught:
        parse_payload(data)

    assert text in str(caught.value)


def test_nesting_up_to_the_limit_is_read() -> None:
    """200 levels are accepted; brackets inside strings do not count."""
    deep: Any = parse_payload('{"t": "' + "[" * 500 + '", "a": ' + "[" * 199 + "]" * 199 + "}")

    assert deep["t"] == "[" * 500


def test_size_limits_hold() -> None:
    """Too many bytes or brackets are refused before parsing."""
    with pytest.raises(PayloadError, match="bytes"):
        parse_payload(b" " * (MAX_BYTES + 1))
    with pytest.raises(PayloadError, match="characters"):
        parse_payload(" " * (MAX_BYTES + 1))
    with pytest.raises(PayloadError, match="lists and objects"):
        parse_payload(b'{"a": [' + b"[]," * 4_000_001 + b"1]}")


def test_an_unterminated_text_of_quotes_is_refused_in_linear_time() -> None:
    """Two megabytes of escaped quotes fail at once; a naive scan would take hours."""
    with pytest.raises(PayloadError, match="not JSON"):
        parse_payload(b'{"a": NaN, "b": "' + b'\\"' * 1_000_000)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
@settings(deadline=None, derandomize=True)
def test_parsing_returns_what_was_written(value: dict[str, Any]) -> None:
    """Every JSON object survives the round trip, with integers of any size."""
    assert parse_payload(json.dumps(value)) == value


@given(st.text(max_size=60) | st.binary(max_size=60))
@settings(deadline=None, derandomize=True)
def test_parsing_garbage_raises_its_error(data: str | bytes) -> None:
    """Any text or bytes parse to an object or raise PayloadError."""
    try:
        parsed = parse_payload(data)
    except PayloadError:
        parsed = {}

    assert isinstance(parsed, dict)


def _png(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_picture_gives_its_workflow_before_its_prompt() -> None:
    """The workflow chunk is preferred; the prompt is used if there is no other."""
    workflow, prompt = json.dumps({"nodes": [FLOW_NODE]}), json.dumps({"3": NODE})

    assert payload_from_png(_png(prompt=prompt, workflow=workflow)) == {"nodes": [FLOW_NODE]}
    assert payload_from_png(_png(prompt=prompt)) == {"3": NODE}
    assert payload_from_png(_png(prompt=prompt, workflow="null")) == {"3": NODE}


@pytest.mark.parametrize(
    "chunk",
    [
        _chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b'{"3": 1}')),
        _chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(b'{"3": 1}')),
        _chunk(b"iTXt", b'prompt\0\0\0\0\0{"3": 1}'),
    ],
)
def test_compressed_and_international_chunks_are_read(chunk: bytes) -> None:
    """All three kinds of PNG text chunk are read."""
    assert payload_from_png(b"\x89PNG\r\n\x1a\n" + chunk) == {"3": 1}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GIF89a", "not a PNG"),
        (_png(), "carries no workflow"),
        (_png(prompt="{}")[:-20], "truncated"),
        (_png(prompt="{"), "not JSON"),
        (b"\x89PNG\r\n\x1a\n" + _chunk(b"zTXt", b"prompt\0\0broken"), "damaged"),
    ],
)
def test_pictures_without_a_graph_are_explained(data: bytes, text: str) -> None:
    """Other files, missing metadata, truncated files and damaged chunks each have an error text of their own."""
    with pytest.raises(PayloadError) as caught:
        payload_from_png(data)

    assert text in str(caught.value)


def test_a_compressed_bomb_is_cut_off() -> None:
    """A small chunk that decompresses beyond the limit is refused before all of it is decompressed."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(b"x" * 2**20) for _ in range(80)) + packer.flush()

    with pytest.raises(PayloadError, match="bytes"):
        payload_from_png(b"\x89PNG\r\n\x1a\n" + _chunk(b"zTXt", b"workflow\0\0" + bomb))


def test_fifty_megabytes_are_read() -> None:
    """A workflow of 50 MB is parsed and classified within the suite's time limit."""
    node = json.dumps({"id": 1, "type": "Empty", "widgets_values": ["x" * 400]})
    text = '{"nodes": [' + ",".join([node] * (50_000_000 // len(node))) + '], "links": []}'

    assert classify(parse_payload(text)) == "workflow"
