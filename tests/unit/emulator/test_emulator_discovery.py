"""What a server offers: features, models, assets, replacements, and what packs and an installed ComfyUI bring."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfyui_emulator import runtime
from comfyui_emulator.compat import folder_paths
from comfyui_emulator.http import routes_assets
from comfyui_emulator.model_folders import MODEL_KINDS

N = Any
Write = Callable[..., Path]


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Write:
    """``write("a/b.json", {"x": 1})``: a file below the test's folder, bytes or JSON."""

    def write(name: str, content: Any = b"") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def safetensors(metadata: Any) -> bytes:
    """A model file with a header and nothing else."""
    header = json.dumps({"__metadata__": metadata} if metadata is not None else {}).encode()
    return len(header).to_bytes(8, "little") + header


async def test_features(launch: N) -> None:
    """The server's own flags cannot be overridden by those of the command line; sockets get the same."""
    async with launch(feature_flags={"x": "y", "assets": True}) as client:
        features = await client.get("/features")

    assert features == {
        "x": "y",
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": 104857600,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    }


@pytest.mark.parametrize(("method", "path"), routes_assets.ROUTES)
async def test_assets_are_switched_off(emulator: N, method: str, path: str) -> None:
    """Every route of assets says so, and which flag ComfyUI would need."""
    path = path.replace(routes_assets._ID, "0" * 8 + "-0000-0000-0000-" + "0" * 12).replace("{hash}", "blake3:0")
    async with emulator.http.request(method, path) as answer:
        assert answer.status == 503
        if method != "HEAD":
            error = (await answer.json())["error"]
            assert (error["code"], error["details"]) == ("SERVICE_DISABLED", {})
            assert "--enable-assets" in error["message"]
    async with emulator.http.request(method, path.removeprefix("/api")) as answer:
        assert answer.status in (403, 404, 405)


async def test_replacements_are_listed(emulator: N) -> None:
    """The eight of ComfyUI 0.33.0, in the form that pages read."""
    listed = await emulator.get("/api/node_replacements")

    assert len(listed) == 8
    assert listed["ConditioningAverage "] == [
        {
            "new_node_id": "ConditioningAverage",
            "old_node_id": "ConditioningAverage ",
            "old_widget_ids": None,
            "input_mapping": None,
            "output_mapping": None,
        }
    ]
    assert listed["ImageScaleBy"][0]["input_mapping"] == [
        {"new_id": "input", "old_id": "image"},
        {"new_id": "resize_type", "set_value": "scale by multiplier"},
        {"new_id": "resize_type.multiplier", "old_id": "scale_by"},
        {"new_id": "scale_method", "old_id": "upscale_method"},
    ]


PACK = """
from comfy_api.latest import ComfyAPI, ComfyExtension, io

class Extension(ComfyExtension):
    async def on_load(self):
        for _ in range(2):
            await ComfyAPI().node_replacement.register(
                io.NodeReplace("New", "Old", ["a"], [{"new_id": "b", "old_id": "a"}], [{"new_idx": 1, "old_idx": 0}])
            )

    async def get_node_list(self):
        return []

def comfy_entrypoint():
    return Extension()
"""


async def test_a_pack_registers_replacements(launch: N, tmp_path: Path, write: Write) -> None:
    """A pack adds to the list while it is loaded; the same twice counts once."""
    write("packs/p/__init__.py", PACK.encode())
    async with launch(custom_nodes=(tmp_path / "packs",)) as client:
        listed = await client.get("/node_replacements")

    assert listed["Old"] == [
        {
            "new_node_id": "New",
            "old_node_id": "Old",
            "old_widget_ids": ["a"],
            "input_mapping": [{"new_id": "b", "old_id": "a"}],
            "output_mapping": [{"new_idx": 1, "old_idx": 0}],
        }
    ]


async def test_subgraphs_of_packs_and_of_a_comfyui(launch: N, tmp_path: Path, write: Write) -> None:
    """Packs and the configured installation offer them; the list has no content, which is text."""
    mine = write("packs/some.pack/subgraphs/Mine.json", {"nodes": []})
    write("packs/some.pack/subgraphs/deeper/No.json", {})
    write("comfy/blueprints/Core.one.json", {"x": 1})
    async with launch(custom_nodes=(tmp_path / "packs",), comfyui=tmp_path / "comfy") as client:
        listed = await client.get("/global_subgraphs")
        details = {name: await client.get(f"/api/global_subgraphs/{name}") for name in listed}
        mine.unlink()
        fewer = await client.get("/global_subgraphs")

    assert sorted(listed.values(), key=lambda entry: str(entry["name"])) == [
        {"source": "templates", "name": "Core.one", "info": {"node_pack": "comfyui"}},
        {"source": "custom_node", "name": "Mine", "info": {"node_pack": "custom_nodes.some.pack"}},
    ]
    assert all(len(name) == 64 for name in listed)
    assert details == {name: entry | {"data": details[name]["data"]} for name, entry in listed.items()}
    assert {entry["data"] for entry in details.values()} == {'{"nodes": []}', '{"x": 1}'}
    assert len(fewer) == 1


async def test_translations_and_examples_of_packs(launch: N, tmp_path: Path, write: Write) -> None:
    """Translations of all packs are joined by language; example workflows are listed, and served below the prefix."""
    write("packs/a/locales/en/main.json", {"x": {"y": 1}, "l": [1]})
    write("packs/a/locales/en/nodeDefs.json", {"A": {"display_name": "a"}})
    write("packs/b/locales/en/main.json", {"x": {"z": 2}, "l": [2]})
    write("packs/b/locales/de/commands.json", {"c": 1})
    write("packs/b/locales/fr/main.json", b"{")
    write("packs/b/example_workflows/One.json", {"one": 1})
    write("packs/b/example_workflows/One.jpg", b"picture")
    write("packs/b/example/Two.json", {})
    async with launch(custom_nodes=(tmp_path / "packs",)) as client:
        translations = await client.get("/i18n")
        examples = await client.get("/workflow_templates")
        one = await client.get("/api/workflow_templates/b/One.json")
        statuses = []
        for path in (
            "/api{}/b/One.jpg",
            "/api{}/a/One.json",
            "/api{}/b/..%2Flocales%2Ffr",
            "{}/b/One.json",
        ):
            async with client.http.get(path.format("/workflow_templates")) as answer:
                statuses.append(answer.status)

    assert translations == {
        "en": {"x": {"y": 1, "z": 2}, "l": [1, 2], "nodeDefs": {"A": {"display_name": "a"}}},
        "de": {"commands": {"c": 1}},
    }
    assert examples == {"b": ["One", "Two"]}
    assert one == {"one": 1}
    assert statuses == [200, 404, 404, 404]


async def test_templates_of_several_packages(launch: N, tmp_path: Path, write: Write, monkeypatch: N) -> None:
    """Each package of templates has a part of the files; without any, the page still gets an empty index."""
    write("json/index.json", [1])
    write("media/p.webp", b"picture")
    folders = {
        "comfyui_workflow_templates_json": tmp_path / "json",
        "comfyui_workflow_templates_media_image": tmp_path / "media",
    }
    monkeypatch.setattr("comfyui_emulator.http.routes_system.package_folder", lambda name, _: folders.get(name))
    async with launch() as client:
        assert await client.get("/templates/index.json") == [1]
        async with client.http.get("/templates/p.webp") as answer:
            assert await answer.read() == b"picture"
        async with client.http.get("/templates/index_logo.json") as answer:
            assert (answer.status, await answer.text()) == (404, "404: Not Found")
        folders.clear()
        assert await client.get("/templates/index.json") == []
        assert await client.get("/templates/index_logo.json") == {}


async def test_models_are_found_in_all_their_places(emulator: N, write: Write) -> None:
    """A kind of model may have several folders; the index says which."""
    for place in ("models/clip", "output/clip"):
        write(f"{place}/{place[:6]}.safetensors")

    names = await emulator.get("/models/text_encoders")
    details = await emulator.get("/experiment/models/text_encoders")
    places = await emulator.get("/internal/folder_paths")

    assert names == ["models.safetensors", "output.safetensors"]
    assert [entry["pathIndex"] for entry in details] == [1, 2]
    assert len(places["text_encoders"]) == 3
    assert list(places) == list(MODEL_KINDS) == await emulator.get("/models")


async def test_only_files_of_a_kind_are_listed(emulator: N, write: Write) -> None:
    """Endings decide; hidden files and folders are in one of the lists, a repository's own folder in none."""
    for name in ("a.safetensors", "b.CKPT", "c.txt", ".h.pt", ".d/e.pt", ".git/f.pt", "deep/g.sft"):
        write(f"models/loras/{name}")
    write("models/configs/a.yaml")
    write("models/configs/a.pt")
    write("datasets/any.thing")

    assert await emulator.get("/models/loras") == [".d/e.pt", ".h.pt", "a.safetensors", "b.CKPT", "deep/g.sft"]
    assert [entry["name"] for entry in await emulator.get("/experiment/models/loras")] == [
        "a.safetensors",
        "b.CKPT",
        "deep/g.sft",
    ]
    assert await emulator.get("/models/configs") == ["a.yaml"]
    assert await emulator.get("/models/datasets") == ["any.thing"]
    kinds = {entry["name"]: entry["extensions"] for entry in await emulator.get("/experiment/models")}
    assert (kinds["diffusers"], kinds["datasets"], kinds["classifiers"]) == (["folder"], [], [""])
    assert kinds["loras"][:2] == [".bin", ".ckpt"]
    assert {"configs", "custom_nodes"}.isdisjoint(kinds)


async def test_models_elsewhere(launch: N, tmp_path: Path, write: Write) -> None:
    """A models folder of its own takes the place of that in the base folder."""
    write("elsewhere/loras/mine.pt")
    write("models/loras/other.pt")
    async with launch(models_directory=tmp_path / "elsewhere") as client:
        assert await client.get("/models/loras") == ["mine.pt"]


def test_packs_find_models_in_the_same_folder(tmp_path: Path, write: Write) -> None:
    """``folder_paths`` follows the models folder."""
    write("elsewhere/loras/mine.pt")
    folders = runtime.Folders(*(tmp_path / name for name in ("input", "output", "temp", "user")), tmp_path)
    with runtime.using(runtime.NodeContext(replace(folders, models=tmp_path / "elsewhere"))):
        assert folder_paths.get_filename_list("loras") == ["mine.pt"]
        assert folder_paths.models_dir == str(tmp_path / "elsewhere")


async def test_pictures_of_models(emulator: N, write: Write) -> None:
    """A file beside the model or a cover in its metadata is its picture; what is wrong has its own status."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    covers = json.dumps([base64.b64encode(buffer.getvalue()).decode()])
    write("models/loras/a.safetensors", safetensors(None))
    write("models/loras/a.preview.png", buffer.getvalue())
    write("models/loras/b.safetensors", safetensors({"ssmd_cover_images": covers}))
    write("models/loras/c.safetensors", safetensors({}))
    write("models/loras/d.pt")
    write("models/loras/d.jpg", b"no picture")
    statuses = {}
    for path in (
        "loras/0/a.safetensors", "loras/0/b.safetensors", "loras/0/c.safetensors", "loras/0/d.pt", "nope/0/a",
        "loras/0/", "loras/x/a", "loras/9/a", "loras/-1/a", "loras/0/..%2F..%2Fx", "loras/0/deep/none.pt",
    ):  # fmt: skip
        async with emulator.http.get(f"/experiment/models/preview/{path}") as answer:
            statuses[path] = answer.status
            if answer.status == 200:
                assert answer.headers["Content-Type"] == "image/webp"

    assert list(statuses.values()) == [200, 200, 404, 404, 404, 400, 400, 404, 404, 403, 404]


async def test_metadata_of_models(emulator: N, write: Write) -> None:
    """The metadata in a file's header; 404 for files without, of another kind, or elsewhere."""
    write("models/loras/a.safetensors", safetensors({"x": "1"}))
    write("models/loras/b.safetensors", safetensors(None))
    write("models/c.safetensors", safetensors({"x": "1"}))
    statuses = []
    for name in ("b.safetensors", "a.pt", "..%2Fc.safetensors", "none.safetensors"):
        async with emulator.http.get(f"/view_metadata/loras?filename={name}") as answer:
            statuses.append(answer.status)

    assert await emulator.get("/view_metadata/loras?filename=a.safetensors") == {"x": "1"}
    assert statuses == [404] * 4


async def test_internal_files(emulator: N, write: Write) -> None:
    """Files directly in the folder, marked with it, the newest first; hidden ones and folders are left out."""
    for number, name in enumerate(("old.png", "new.png", ".hidden", "deep/er.png")):
        os.utime(write(f"output/{name}"), (number, number))

    assert await emulator.get("/internal/files/output") == ["new.png [output]", "old.png [output]"]
