"""Values survive being encoded; bytes that are not values raise, and allocate nothing that they only claim."""

from __future__ import annotations

import collections
import enum
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.context.value_trees import VALUES, same

from discomfort.context import layout as layouts
from discomfort.context.codecs import decode, encode
from discomfort.context.trees import DEEPEST, NodeList
from discomfort.exceptions import DamagedDataError, UnsupportedValueError

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def written(value: object) -> tuple[str, bytearray]:
    """The codec and the bytes of a value, as a file has them."""
    encoded = encode(value)
    data = bytearray(b"".join(encoded.pieces()))
    assert len(data) == encoded.size
    return encoded.codec, data


@EXAMPLES
@given(VALUES)
def test_values_survive(value: Any) -> None:
    """Every tree comes back equal, with its types, order of keys, NaN and signs of zero."""
    assert same(decode(*written(value)), value)


def test_huge_numbers_survive() -> None:
    """Also those beyond the digits that Python converts to decimal text."""
    value = [1 << 100_000, -(1 << 62), (1 << 62) - 1, 1 << 62]
    assert decode(*written(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        {"samples": np.zeros((1, 4, 8, 8), np.float32), "batch_index": [0], "noise_mask": np.ones((1, 8, 8), "<f4")},
        {"waveform": np.zeros((1, 2, 100), np.float32), "sample_rate": 44100},
        [[np.zeros((1, 77, 768), np.float32), {"pooled_output": np.ones((1, 768), np.float32), "strength": 0.5}]],
        np.random.default_rng(1).random((1, 16, 16, 3)).astype(np.float32),
        Path("models/a.safetensors"),
        NodeList([np.zeros(3), "b"]),
    ],
    ids=["LATENT", "AUDIO", "CONDITIONING", "IMAGE", "path", "list-output"],
)
def test_comfyui_values_survive(value: Any) -> None:
    """The structures that nodes pass to each other."""
    assert same(decode(*written(value)), value)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
)
@pytest.mark.parametrize("size", [(9, 7), (1, 1), (0, 3)])
def test_pictures_survive(mode: str, size: tuple[int, int]) -> None:
    """Pixel for pixel, in every mode that Pillow has."""
    picture = Image.frombytes("L", size, bytes(range(size[0] * size[1]))) if size[0] else Image.new("L", size)
    picture = Image.new(mode, size) if mode in ("LAB", "HSV", "PA", "RGBX", "I;16", "LA") else picture.convert(mode)
    found = decode(*written({"picture": picture}))["picture"]

    assert (found.mode, found.size, found.tobytes()) == (mode, size, picture.tobytes())


def test_palette_survives() -> None:
    """With its colours and the one that is transparent."""
    picture = Image.new("P", (5, 4), 3)
    picture.putpalette(bytes(range(96)))
    picture.info["transparency"] = 3
    found = decode(*written(picture))

    assert found.getpalette("RGB") == picture.getpalette("RGB")
    assert found.convert("RGBA").tobytes() == picture.convert("RGBA").tobytes()


def test_subclasses_become_plain() -> None:
    """Those of Python's own types: they are equal to what comes back."""
    value = [collections.OrderedDict(a=1), Colour.RED, Point(1, [2]), collections.Counter("aa"), Text("x")]
    found = decode(*written(value))

    assert found == [{"a": 1}, 1, (1, [2]), {"a": 2}, "x"]
    assert [type(each) for each in found] == [dict, int, tuple, dict, str]


class Colour(enum.IntEnum):
    """A number with a name."""

    RED = 1


class Point(NamedTuple):
    """A tuple with names."""

    x: int
    y: list[int]


class Text(str):
    """A text of another class."""

    __slots__ = ()


def test_text_beside_arrays_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the layout; without arrays there is none."""
    monkeypatch.setattr(layouts, "MAX_HEADER", 1000)
    assert decode(*written("x" * 2000)) == "x" * 2000
    with pytest.raises(UnsupportedValueError, match="Store texts and arrays as two values"):
        encode({"text": "x" * 2000, "array": np.zeros(2)})


def test_arrays_are_views_of_the_data() -> None:
    """Nothing is copied: the array's memory is that of the file's mapping."""
    codec, data = written(np.arange(100.0))
    array = decode(codec, data)
    array[0] = 7
    assert decode(codec, data)[0] == 7


def test_other_tools_read_the_layout() -> None:
    """The header has the names of the arrays by their place, aligned numbers without gaps, and text metadata."""
    _, data = written({"a": np.zeros(3, np.uint8), "b": [np.zeros((2, 2), np.float64)]})
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])

    assert (8 + length) % 64 == 0
    assert header["b.0"] == {"dtype": "F64", "shape": [2, 2], "data_offsets": [0, 32]}
    assert header["a"] == {"dtype": "U8", "shape": [3], "data_offsets": [32, 35]}
    assert all(isinstance(each, str) for each in header["__metadata__"].values())


def test_big_endian_arrays_keep_their_numbers() -> None:
    """In the byte order of the layout."""
    found = decode(*written(np.arange(5, dtype=">i4")))
    assert found.tolist() == [0, 1, 2, 3, 4]
    assert found.dtype == np.dtype("<i4")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [object()]}, "value['a'][0]: an object of type object cannot be stored"),
        ([lambda: 1], "value[0]: an object of type function cannot be stored"),
        ({"model": type("Model", (), {})()}, "value['model']: an object of type"),
        (np.array([object()]), "value: an array of type object cannot be stored"),
        ({"m": np.ma.masked_array([1], [True])}, "value['m']: a MaskedArray cannot be stored"),
        (np.zeros(2, [("x", "<f4")]), "value: an array of type [('x', '<f4')] cannot be stored"),
        (np.longdouble(1), "value: an array of type"),
    ],
    ids=["object", "function", "instance", "objects", "masked", "records", "longdouble"],
)
def test_what_cannot_be_stored_is_named(value: object, words: str) -> None:
    """The error names the place, the type and the remedy."""
    with pytest.raises(UnsupportedValueError) as caught:
        encode(value)
    assert words in str(caught.value)
    assert caught.value.remedy


def test_endless_values_are_refused() -> None:
    """A list that contains itself, and one that is nested too deeply; one of the allowed depth survives."""
    endless: list[Any] = []
    endless.append(endless)
    deep: Any = 1
    for _ in range(DEEPEST):
        deep = [deep]

    assert decode(*written(deep)) == deep
    for value in (endless, [[deep]]):
        with pytest.raises(UnsupportedValueError, match="nested deeper"):
            encode(value)


# --- bytes that are not values ---------------------------------------------------------------------------------------

SAMPLE = {"a": np.arange(12.0).reshape(3, 4), "t": (1, b"x" * 5000), "n": np.float32(2), "p": Image.new("L", (4, 4))}


def decoded_or_damaged(codec: str, data: bytes | bytearray) -> Any:
    """The value, or the typed error; every other error is raised."""
    try:
        return decode(codec, data)
    except DamagedDataError as error:
        return error


def assert_is_told(outcome: Any) -> None:
    """An error says what is wrong; anything else is a value."""
    if isinstance(outcome, DamagedDataError):
        assert outcome.problem
    else:
        assert not isinstance(outcome, BaseException)


@EXAMPLES
@given(st.data())
def test_altered_bytes_raise_the_typed_error_or_give_a_value(data: st.DataObject) -> None:
    """Whatever was cut off, changed or put in."""
    codec, whole = written(SAMPLE)
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, min(len(whole), 1200)))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=9))
    assert_is_told(decoded_or_damaged(codec, whole))


@EXAMPLES
@given(st.binary(max_size=200))
def test_random_bytes_raise_the_typed_error_or_give_a_value(data: bytes) -> None:
    """With either codec."""
    assert_is_told(decoded_or_damaged("json", data))
    assert isinstance(decoded_or_damaged("tensors", data), DamagedDataError)
    assert isinstance(decoded_or_damaged("tensors", struct.pack("<Q", len(data)) + data), DamagedDataError)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$", "v", "n", "d", "t", "s", "mode", "size", "palette", "transparency", "x"]),
            inner,
            max_size=5,
        )
        | st.fixed_dictionaries(
            {
                "$": st.sampled_from(
                    [
                        "int",
                        "text",
                        "tuple",
                        "set",
                        "dict",
                        "pairs",
                        "complex",
                        "bytes",
                        "array",
                        "tensor",
                        "scalar",
                        "picture",
                        "x",
                    ]
                )
            },
            optional={"v": inner, "n": st.just("a") | inner, "d": inner, "mode": st.just("L") | inner, "size": inner},
        )
    ),
    max_leaves=20,
)


@EXAMPLES
@given(JUNK)
def test_hostile_trees_raise_the_typed_error_or_give_a_value(tree: Any) -> None:
    """Markers with anything in them, in JSON and beside arrays."""
    assert_is_told(decoded_or_damaged("json", json.dumps(tree).encode()))
    assert_is_told(decoded_or_damaged("tensors", layout({"a": ("F32", [2], [0, 8])}, bytes(8), tree=json.dumps(tree))))


def layout(arrays: dict[str, tuple[Any, Any, Any]], numbers: bytes, *, tree: str = "1", **changes: Any) -> bytes:
    """A file in the layout, with whatever it claims."""
    table: dict[str, Any] = {"__metadata__": {"discomfort_format": "1", "discomfort_tree": tree}, **changes}
    for name, (dtype, shape, offsets) in arrays.items():
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    header = json.dumps(table).encode()
    return struct.pack("<Q", len(header)) + header + numbers


HUGE = 1 << 40
HOSTILE = {
    "header beyond the file": struct.pack("<Q", HUGE) + b"{}",
    "header beyond everything": struct.pack("<Q", (1 << 64) - 1) + b"{}",
    "array beyond the file": layout({"a": ("F32", [HUGE], [0, HUGE * 4])}, bytes(8)),
    "shape beyond its bytes": layout({"a": ("F32", [HUGE], [0, 8])}, bytes(8)),
    "negative": layout({"a": ("F32", [-2, -1], [0, 8])}, bytes(8)),
    "negative offset": layout({"a": ("F32", [2], [-8, 0])}, bytes(8)),
    "backwards": layout({"a": ("F32", [2], [8, 0])}, bytes(8)),
    "overlap": layout({"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [0, 8])}, bytes(8)),
    "gap": layout({"a": ("F32", [1], [4, 8])}, bytes(8)),
    "rest": layout({"a": ("F32", [1], [0, 4])}, bytes(8)),
    "unknown type": layout({"a": ("F4", [1], [0, 4])}, bytes(4)),
    "type is a number": layout({"a": (4, [1], [0, 4])}, bytes(4)),
    "type is a list": layout({"a": ([], [1], [0, 4])}, bytes(4)),
    "sizes are booleans": layout({"a": ("U8", [True], [0, 1])}, bytes(1)),
    "sizes are fractions": layout({"a": ("U8", [1.0], [0, 1])}, bytes(1)),
    "empty but enormous": layout({"a": ("F32", [0, 1 << 62, 1 << 62], [0, 0])}, b"", tree='{"$":"array","n":"a"}'),
    "too many dimensions": layout({"a": ("U8", [1] * 65, [0, 1])}, bytes(1)),
    "metadata is a list": layout({}, b"", __metadata__=[]),
    "metadata is not text": layout({}, b"", __metadata__={"discomfort_tree": 1}),
    "another format": layout({}, b"", __metadata__={"discomfort_format": "2", "discomfort_tree": "1"}),
    "no tree": layout({}, b"", __metadata__={"discomfort_format": "1"}),
    "tree is not JSON": layout({}, b"", tree="{"),
    "tree is endless": layout({}, b"", tree="[" * 100_000),
    "array is missing": layout({}, b"", tree='{"$":"array","n":"a"}'),
    "text of half a gigabyte": layout(
        {"a": ("U32", [2], [0, 8])}, bytes(8), tree='{"$":"array","n":"a","d":"<U99999999"}'
    ),
    "date of no unit": layout({"a": ("I64", [1], [0, 8])}, bytes(8), tree='{"$":"array","n":"a","d":"<M8[xx]"}'),
    "objects": layout({"a": ("I64", [1], [0, 8])}, bytes(8), tree='{"$":"array","n":"a","d":"|O"}'),
    "beyond the last character": layout(
        {"a": ("U32", [1], [0, 4])}, b"\xff" * 4, tree='{"$":"array","n":"a","d":"<U1"}'
    ),
    "picture beyond its pixels": layout(
        {"a": ("U8", [4], [0, 4])}, bytes(4), tree='{"$":"picture","n":"a","mode":"L","size":[100000,100000]}'
    ),
    "picture without pixels": layout(
        {"a": ("U8", [0], [0, 0])}, b"", tree=f'{{"$":"picture","n":"a","mode":"L","size":[0,{HUGE}]}}'
    ),
    "picture of no mode": layout(
        {"a": ("U8", [4], [0, 4])}, bytes(4), tree='{"$":"picture","n":"a","mode":"X","size":[2,2]}'
    ),
    "picture of lists": layout(
        {"a": ("U8", [4], [0, 4])}, bytes(4), tree='{"$":"picture","n":"a","mode":[],"size":[2,2]}'
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_claims_are_refused_before_anything_is_allocated(data: bytes) -> None:
    """The typed error, and no more memory than a few copies of the file."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedDataError):
            decode("tensors", data)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        '{"$":"pickle","v":""}', '{"$":[]}', '{"$":"set","v":[[]]}', '{"$":"pairs","v":[[1]]}', '{"$":"int","v":"zz"}',
        '{"$":"tuple","v":"abc"}', '{"$":"scalar","t":"F32","s":[9],"d":"","v":""}', '{"$":"array","n":"a"}', "", "{",
    ],
)  # fmt: skip
def test_hostile_json_raises_the_typed_error(text: str) -> None:
    """Kinds that do not exist, and kinds with the wrong content."""
    with pytest.raises(DamagedDataError):
        decode("json", text.encode())


def test_unknown_codec_raises_the_typed_error() -> None:
    """Of a newer version, say."""
    with pytest.raises(DamagedDataError, match="unknown form 'pickle'"):
        decode("pickle", b"")
