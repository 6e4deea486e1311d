"""Folders of models as servers tell them, with ``--models-directory`` and ``extra_model_paths.yaml`` among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit.provision.file_host import FileHost
from unit.provision.provide_site import NAME, StandInServer, model, plan, provide

from discomfort.provision.model_places import NoPlaceError, kinds_below, place_of, read_kinds

ENDINGS = [".safetensors", ".pt"]


def kind(name: str, *folders: object, **more: Any) -> dict[str, Any]:
    """An entry of ``/experiment/models``."""
    return {"name": name, "folders": [str(folder) for folder in folders], "extensions": ENDINGS, **more}


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["/base/models/vae", "/base/output/vae"], "/base/models/vae"),
        # --models-directory takes the place of the folder in the base.
        (["/disk/models/vae", "/base/output/vae"], "/disk/models/vae"),
        # A section of extra_model_paths.yaml comes behind, or with is_default before ComfyUI's own folder.
        (["/base/models/vae", "/base/output/vae", "/disk/vae"], "/base/models/vae"),
        (["/disk/my vaes", "/base/models/vae", "/base/output/vae"], "/disk/my vaes"),
    ],
)
def test_where_a_new_file_goes(folders: list[str], expected: str) -> None:
    """Into the folder that the server searches first; the others may have the file already."""
    place = place_of("vae", f"sub/{NAME}", read_kinds([kind("vae", *folders)]))

    assert place.path == Path(expected, "sub", NAME)
    assert place.places == tuple(Path(each, "sub", NAME) for each in folders if each != expected)


@pytest.mark.parametrize(
    ("wanted", "name", "folders", "expected"),
    [
        ("diffusion_models", "diffusion_models", ["/m/unet", "/m/diffusion_models"], "/m/diffusion_models"),
        ("unet", "diffusion_models", ["/m/unet", "/m/diffusion_models"], "/m/diffusion_models"),
        ("clip", "text_encoders", ["/m/text_encoders", "/m/clip"], "/m/text_encoders"),
        ("diffusion_models", "diffusion_models", ["/x/unet", "/m/unet", "/m/diffusion_models"], "/x/unet"),
    ],
)
def test_former_names(wanted: str, name: str, folders: list[str], expected: str) -> None:
    """ComfyUI searches ``unet`` first; beside it the folder with the present name is preferred."""
    assert place_of(wanted, NAME, read_kinds([kind(name, *folders)])).root == Path(expected)


@pytest.mark.parametrize(
    "answer",
    [
        None, {}, "vae", [None, 5, "vae", {}], [{"name": 5, "folders": ["/m/vae"]}], [kind("vae")],
        [{"name": "vae"}], [{"name": "vae", "folders": "/m/vae"}], [kind("vae", "models/vae")],
        [kind("vae", "C:\\models\\vae")], [kind("vae", "/m/v\0ae")], [kind("custom_nodes", "/m/vae")],
    ],
)  # fmt: skip
def test_answers_that_name_no_folder(answer: Any) -> None:
    """An old server, a broken one, and one on Windows: nothing is guessed."""
    with pytest.raises(NoPlaceError, match="no folder for models of the kind 'vae'"):
        place_of("vae", NAME, read_kinds(answer))


def test_endings_are_those_of_the_kind() -> None:
    """The usual ones count where the server does not say."""
    kinds = read_kinds([kind("vae", "/m/vae"), kind("gguf", "/m/gguf", extensions=[])])

    assert place_of("vae", "a.pt", kinds).may_have_code
    assert not place_of("gguf", "a.gguf", kinds).may_have_code
    with pytest.raises(NoPlaceError, match="ending '.gguf'"):
        place_of("vae", "a.gguf", kinds)


def test_a_folder_of_models_on_this_machine(tmp_path: Path) -> None:
    """Its subfolders are the kinds, those of packs too, and the server tells the endings."""
    for name in ("vae", "ipadapter", ".hidden", "custom_nodes"):
        (tmp_path / name).mkdir()
    (tmp_path / "readme.txt").touch()

    found = kinds_below(tmp_path, read_kinds([kind("vae", "/far/vae"), kind("loras", "/far/loras")]))

    assert {name: each.paths for name, each in found.items()} == {
        name: (tmp_path / name,) for name in ("vae", "ipadapter", "loras")
    }
    assert (found["vae"].endings, found["ipadapter"].endings) == (frozenset(ENDINGS), frozenset())


async def test_the_other_folders_are_looked_at(tmp_path: Path) -> None:
    """A file in any folder of its kind is there; a folder that is missing is made."""
    server = StandInServer(tmp_path)
    extra, first = tmp_path / "disk" / "checkpoints", tmp_path / "new" / "checkpoints"
    extra.mkdir(parents=True)
    (extra / "old.safetensors").write_bytes(b"weights")
    server.kinds = [kind("checkpoints", first, extra)]
    async with FileHost(b"weights") as host:
        needs = [model(host.url(), name=name) for name in ("old.safetensors", "new.safetensors")]

        report = await provide(server, plan(*needs))

        assert [item.outcome for item in report.items] == ["present", "fetched"]
        assert len(host.asked) == 1
    assert [path.name for path in first.iterdir()] == ["new.safetensors"]
