"""Everything that a node returned, found, named and saved."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.client.fake_comfy import FakeComfy

from discomfort._system.atomic_files import publish
from discomfort._system.filenames import candidates, safe_filename
from discomfort.client.outputs import Output, collect_outputs
from discomfort.client.rest import RestClient
from discomfort.exceptions import PayloadError, ServerResponseError, StateError

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines that build other things meanwhile are slow, which says nothing about this."""
PROMPT = {
    "3": {"class_type": "SaveImage", "inputs": {}, "_meta": {"title": "Result"}},
    "4": {"class_type": "PreviewAny", "inputs": {}},
    "10": {"class_type": "Loop", "inputs": {}, "_meta": {"title": "Expanding"}},
}


def history(**outputs: Any) -> dict[str, Any]:
    """A record with these outputs; ``n3`` is node 3."""
    named = {key.removeprefix("n"): value for key, value in outputs.items()}
    return {"p": {"prompt": [0, "p", PROMPT, {}, []], "outputs": named, "meta": {"3": {"node_id": "77"}}}}


def one(key: str, item: Any, **more: Any) -> Output:
    """The only output of node 3."""
    (output,) = collect_outputs(history(n3={key: [item], **more}), None)
    return output


def names_in(directory: Path) -> list[str]:
    """What a directory holds."""
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("key", "name", "kind"),
    [
        ("images", "a.png", "image"),
        ("images", "a.PNG", "image"),
        ("images", "a.webp", "image"),
        ("images", "a.mp4", "video"),
        ("gifs", "a.gif", "video"),
        ("gifs", "a.webp", "video"),
        ("gifs", "a.png", "image"),
        ("images", "a.gif", "image"),
        ("video", "a.mkv", "video"),
        ("audio", "a.flac", "audio"),
        ("3d", "a.glb", "3d"),
        ("result", "a.obj", "3d"),
        ("latents", "a.latent", "file"),
        ("images", "noextension", "file"),
    ],
)
def test_files_have_their_kind(key: str, name: str, kind: str) -> None:
    """By extension, and by the list for formats that may move."""
    output = one(key, {"filename": name, "subfolder": "s", "type": "temp"})

    assert (output.kind, output.key, output.folder, output.subfolder) == (kind, key, "temp", "s")


def test_keys_that_newer_servers_add_to_items_change_nothing() -> None:
    """Ids of assets and facts about the medium stay in the value, as the server sent them."""
    item = {"filename": "a.glb", "subfolder": "s", "type": "output", "id": "x-1", "media": {"width": 8, "fps": None}}
    output = one("3d", item)

    assert (output.kind, output.filename, output.media_type, output.value) == ("3d", "a.glb", "model/gltf-binary", item)


@pytest.mark.parametrize("cached", [[], ["3"], ["4"], ["3", "4", "10"]])
def test_outputs_are_those_of_the_record_whatever_was_cached(cached: list[str]) -> None:
    """Which nodes of a cached run are listed depends on the version and on the memory that the server has."""
    record = history(n3={"text": ["again"]})
    record["p"]["status"] = {"messages": [["execution_cached", {"nodes": cached}], ["execution_success", {}]]}

    assert [(output.node_id, output.value) for output in collect_outputs(record, None)] == [("3", "again")]


def test_animated_flags_make_videos() -> None:
    """They are not outputs themselves; a flag of false changes nothing."""
    item = {"filename": "a.webp", "subfolder": "", "type": "output"}

    assert (one("images", item, animated=[True]).kind, one("images", item, animated=[True]).animated) == ("video", True)
    assert one("images", item, animated=[False]).kind == "image"


def test_a_declared_format_names_unknown_extensions() -> None:
    """Video packs add a media type."""
    output = one("gifs", {"filename": "a.xyz", "format": "video/h264-mp4", "type": "output"})

    assert (output.kind, output.media_type) == ("video", "video/h264-mp4")


def test_texts_and_values_are_kept() -> None:
    """Paths in strings stay texts; nothing is dropped, scalars neither."""
    outputs = collect_outputs(history(n4={"text": ["hi"], "result": ["m/a.glb", None, {"k": 1}], "n": 5}), None)

    assert [(output.kind, output.key, output.index, output.value) for output in outputs] == [
        ("text", "text", 0, "hi"),
        ("text", "result", 0, "m/a.glb"),
        ("value", "result", 1, None),
        ("value", "result", 2, {"k": 1}),
        ("value", "n", 0, 5),
    ]


def test_names_come_from_the_prompt_that_ran() -> None:
    """The key decides, not ``meta``, which may name a twin from the cache; children are shown as their parent."""
    outputs = collect_outputs(
        history(**{"n10.0.0.1": {"text": ["x"]}, "n4": {"text": ["y"]}, "n3": {"text": ["z"]}}), None
    )

    assert [(output.node_id, output.title, output.class_type) for output in outputs] == [
        ("3", "Result", "SaveImage"),
        ("4", "PreviewAny", "PreviewAny"),
        ("10.0.0.1", "Expanding", "Loop"),
    ]


@PATIENT
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["filename", "type", "format", "animated", "images"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_outputs_are_collected(outputs: Any) -> None:
    """Whatever their shape."""
    found = collect_outputs({"p": {"prompt": [0, "p", PROMPT], "outputs": {"3": outputs}}, "q": outputs}, None)

    assert all(isinstance(output, Output) for output in found)


async def test_read_image_and_save(server: FakeComfy, tmp_path: Path) -> None:
    """Bytes, a picture in its own mode, and a file."""
    picture = io.BytesIO()
    Image.new("RGBA", (2, 3), (1, 2, 3, 4)).save(picture, "PNG")
    server.files["output/sub/a.png"] = picture.getvalue()
    async with aiohttp.ClientSession() as session:
        rest = RestClient(session, server.url)
        item = {"filename": "a.png", "subfolder": "sub", "type": "output"}
        (output,) = collect_outputs(history(n3={"images": [item]}), rest)

        image = await output.image()
        saved = [await output.save(tmp_path / "new") for _ in range(3)]

        assert (image.mode, image.size, image.getpixel((1, 1))) == ("RGBA", (2, 3), (1, 2, 3, 4))
        assert await output.read() == picture.getvalue()
        assert [path.name for path in saved] == ["a.png", "a (2).png", "a (3).png"]
        assert all(path.read_bytes() == picture.getvalue() for path in saved)
        assert names_in(tmp_path / "new") == sorted(path.name for path in saved)


async def test_a_file_that_is_gone_leaves_nothing(server: FakeComfy, tmp_path: Path) -> None:
    """The server's 404 is the error, and no part of a file stays."""
    async with aiohttp.ClientSession() as session:
        item = {"filename": "gone.png", "type": "temp"}
        (output,) = collect_outputs(history(n3={"images": [item]}), RestClient(session, server.url))

        with pytest.raises(ServerResponseError) as caught:
            await output.save(tmp_path)

        assert caught.value.status == 404
        assert names_in(tmp_path) == []


async def test_texts_and_values_are_saved(tmp_path: Path) -> None:
    """As text and as JSON, without a server."""
    text, value = collect_outputs(history(n4={"text": ["hé"], "n": [{"a": 1}]}), None)

    assert (await text.save(tmp_path)).read_text("utf-8") == "hé"
    assert (await value.save(tmp_path)).name == "4_n_0.json"
    assert await value.read() == b'{"a": 1}'


async def test_what_is_no_picture_says_so(server: FakeComfy) -> None:
    """Text, broken files, and outputs without a server."""
    server.files["output//a.png"] = b"no picture"
    (text,) = collect_outputs(history(n4={"text": ["x"]}), None)
    with pytest.raises(PayloadError, match="not a picture"):
        await text.image()
    async with aiohttp.ClientSession() as session:
        (broken,) = collect_outputs(history(n3={"images": [{"filename": "a.png"}]}), RestClient(session, server.url))
        with pytest.raises(PayloadError, match="cannot be read"):
            await broken.image()
    with pytest.raises(StateError):
        await one("images", {"filename": "a.png"}).read()


@pytest.mark.parametrize("name", ["../a.png", "a/b.png", "..", "", "nul", "a\0b"])
async def test_a_given_name_must_be_plain(tmp_path: Path, name: str) -> None:
    """The caller's name is refused, not changed."""
    (text,) = collect_outputs(history(n4={"text": ["x"]}), None)

    with pytest.raises(ValueError, match="plain file name"):
        await text.save(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x.png", "x.png"),
        ("C:\\x.png", "x.png"),
        ("/", "output"),
        ("..", "output"),
        ("", "output"),
        (".bashrc", "bashrc"),
        ("._00001_.png", "_00001_.png"),
        ("a\0b\n.png", "a_b_.png"),
        ("con.png", "_con.png"),
        ("LPT1", "_LPT1"),
        ("console.png", "console.png"),
        ("a.png. . ", "a.png"),
        ("a<b>:c|d?.png", "a_b__c_d_.png"),
        ("\ud800.png", "?.png".replace("?", "_")),
        ("ü" * 200 + ".png", "ü" * 88 + ".png"),
    ],
)
def test_server_names_are_made_harmless(name: str, safe: str) -> None:
    """Plain names stay as they are."""
    assert safe_filename(name) == safe


@PATIENT
@given(st.text(max_size=300))
def test_safe_names_stay_in_their_directory(name: str) -> None:
    """For every text, and again when applied again."""
    safe = safe_filename(name)

    assert safe == safe_filename(safe)
    assert safe not in {"", ".", ".."}
    assert not set(safe) & set('/\\\0:*?"<>|')
    assert len(safe.encode()) <= 255 - len(" (999999)")
    assert Path("/base", safe).resolve().parent == Path("/base")


def test_candidates_keep_the_extension() -> None:
    """The number goes before it."""
    names = candidates("a.tar.png")

    assert [next(names), next(names)] == ["a.tar.png", "a.tar (2).png"]
    assert list(zip(range(2), candidates("plain"), strict=False))[1][1] == "plain (2)"


def test_publish_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have none; nothing is replaced there either."""

    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "t").write_text("new")

    target = publish(tmp_path / "t", tmp_path, "a.txt")

    assert (target.name, target.read_text()) == ("a (2).txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert not (tmp_path / "t").exists()


# --- outputs as plain data -------------------------------------------------------------------------------------------


async def test_artifacts_travel(server: FakeComfy, tmp_path: Path) -> None:
    """In memory or in a file: digest and size are those of the content; it pickles, and JSON holds it."""
    data = b"any bytes" * 1000
    server.files["output/sub/a.png"] = data
    async with aiohttp.ClientSession() as session:
        item = {"filename": "a.png", "subfolder": "sub", "type": "output"}
        (output,) = collect_outputs(history(n3={"images": [item]}), RestClient(session, server.url))
        inside = await output.artifact()
        saved = await output.artifact(tmp_path, "kept.png")

    assert inside.data == data == inside.read() == saved.read()
    assert saved.path == tmp_path / "kept.png"
    for found in (inside, saved):
        assert pickle.loads(pickle.dumps(found)) == found
        assert (found.size, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert (found.node_id, found.kind, found.filename, found.mime) == ("3", "image", "a.png", "image/png")
        plain = json.loads(json.dumps(found.to_dict(with_data=True)))
        assert base64.b64decode(plain["data"]) == data
        assert "data" not in found.to_dict()


async def test_artifacts_of_texts_and_values(tmp_path: Path) -> None:
    """They need no server."""
    text, value = collect_outputs(history(n4={"text": ["hi"], "score": [{"x": 1}]}), None)
    assert (await text.artifact()).data == b"hi"
    assert (await text.artifact()).mime == "text/plain"
    assert (await value.artifact(tmp_path)).mime == "application/json"


def test_outputs_do_not_share_the_history() -> None:
    """Whoever changes the one does not change the other."""
    given = history(n4={"score": [{"x": [1]}]})
    (output,) = collect_outputs(given, None)
    given["p"]["outputs"]["4"]["score"][0]["x"].append(2)
    assert output.value == {"x": [1]}
    output.value["x"].clear()
    assert given["p"]["outputs"]["4"]["score"] == [{"x": [1, 2]}]
