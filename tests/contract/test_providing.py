"""Models and packs that a plan lacks arrive on a server: in its lists, and as nodes that run. All on loopback."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from contract.engines import EngineUnderTest, with_small_frontend
from contract.graphs import Prompt, node
from unit.provision.file_host import FileHost
from unit.provision.pack_host import PackHost, served
from unit.provision.provide_site import sha256

from discomfort import ComfyConnector
from discomfort.exceptions import ConsentError, ProvideError
from discomfort.provision.provide_progress import ProvideProgress

CONTENT = b"weights" * 100_000
NAME = "provided/tiny.safetensors"
PACK = '''
class ProvidedHello:
    """One tiny node."""

    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = ("STRING",), "work", "test", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""})}}

    def work(self, text):
        return {"ui": {"text": [text + "!"]}, "result": (text + "!",)}


NODE_CLASS_MAPPINGS = {"ProvidedHello": ProvidedHello}
'''
LISTING = '''
import folder_paths


class ProvidedLoader:
    """Names a model of the server's list."""

    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = ("STRING",), "work", "test", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"),)}}

    def work(self, ckpt_name):
        return {"ui": {"text": [ckpt_name]}, "result": (ckpt_name,)}


NODE_CLASS_MAPPINGS = {"ProvidedLoader": ProvidedLoader}
'''
BROKEN = "import os\nos._exit(3)\n"
LOADER: Prompt = {"1": node("ProvidedLoader", ckpt_name=NAME)}
HELLO: Prompt = {"1": node("ProvidedHello", text="hello")}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models outside of the server's own."""
    folder = tmp_path_factory.mktemp("disk") / "models"
    folder.mkdir()
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def connector(
    engine: EngineUnderTest, tmp_path_factory: pytest.TempPathFactory, disk: Path
) -> AsyncIterator[ComfyConnector]:
    """A server of this file's own, whose folder of packs is its own too, and that has LoRAs on another disk."""
    settings: dict[str, Any] = {**with_small_frontend(engine).settings, "browser": "lazy"}
    packs = engine.home / "custom_nodes" if engine.real else tmp_path_factory.mktemp("packs")
    (packs / "provided-listing").mkdir()
    (packs / "provided-listing" / "__init__.py").write_text(LISTING)
    if not engine.real:
        settings["api_command_line"] += f" --custom-node-directory {shlex.quote(str(packs))}"
        settings["api_command_line"] += f" --models-directory {shlex.quote(str(disk))}"
    else:
        extra = disk.with_name("extra_model_paths.yaml")
        extra.write_text(f"disk:\n  base_path: {disk}\n  is_default: true\n  loras: loras\n")
        settings["api_command_line"] += f" --extra-model-paths-config {shlex.quote(str(extra))}"
    async with await ComfyConnector.launch(**settings) as made:
        yield made


@pytest.fixture
def packs(tmp_path: Path) -> Iterator[PackHost]:
    with served(tmp_path / "repositories") as made:
        yield made


async def test_a_model_arrives(connector: ComfyConnector) -> None:
    """It is in the server's list, in the definitions, and in the new plan; a second time nothing is fetched."""
    plan = await connector.plan(LOADER)
    (need,) = plan.missing_models
    assert (need.folder, need.name) == ("checkpoints", NAME)
    seen: list[ProvideProgress] = []
    async with FileHost(CONTENT) as host:
        plan = replace(plan, models=(replace(need, url=host.url(), digest=sha256(CONTENT)),))
        with pytest.raises(ConsentError):
            await connector.provide(plan, allow_private=True)

        options: dict[str, Any] = {"yes": True, "allow_private": True, "reserve": 0}
        report = await connector.provide(plan, **options, on_progress=seen.append)
        again = await connector.provide(plan, **options)

        assert [item.outcome for item in report.items] == ["fetched"]
        assert [item.outcome for item in again.items] == ["present"]
        assert len(host.asked) == 1
    path = report.items[0].path
    assert path is not None
    assert path.read_bytes() == CONTENT
    assert path.parts[-4:] == ("models", "checkpoints", "provided", "tiny.safetensors")
    assert report.plan is not None
    assert [model.is_there for model in report.plan.models] == [True]
    assert seen[-1].stage == "done"
    assert NAME in str((await connector.run(LOADER)).history)


async def test_the_folder_that_the_server_names(connector: ComfyConnector, disk: Path) -> None:
    """A model goes where the server looks first: by ``extra_model_paths.yaml``, or by ``--models-directory``."""
    plan = await connector.plan(LOADER)
    async with FileHost(CONTENT) as host:
        need = replace(plan.models[0], is_there=False, folder="loras", name="sub/tiny.safetensors", url=host.url())

        report = await connector.provide(replace(plan, models=(need,)), yes=True, allow_private=True, reserve=0)

    assert [item.path for item in report.items] == [disk / "loras" / "sub" / "tiny.safetensors"]
    assert (disk / "loras" / "sub" / "tiny.safetensors").read_bytes() == CONTENT


async def test_a_pack_arrives(connector: ComfyConnector, packs: PackHost) -> None:
    """After the restart its node runs, and the new plan lacks nothing."""
    plan = await connector.plan(HELLO)
    (need,) = plan.packs
    plan = replace(plan, packs=(replace(need, repository=packs.repository("provided-hello", {"__init__.py": PACK})),))

    report = await connector.provide(plan, yes=True, allow_private=True)

    assert [item.outcome for item in report.items] == ["installed"]
    assert report.is_restarted
    assert report.plan is not None
    assert report.plan.is_ready
    result = await connector.run(HELLO)
    assert "hello!" in str(result.history)


async def test_a_pack_that_ends_the_server(connector: ComfyConnector, packs: PackHost) -> None:
    """The server runs again without it, the error says why, and the pack has another name."""
    plan = await connector.plan({"1": node("ProvidedNever")})
    (need,) = plan.packs
    plan = replace(plan, packs=(replace(need, repository=packs.repository("provided-end", {"__init__.py": BROKEN})),))

    with pytest.raises(ProvideError, match="does not start with it") as caught:
        await connector.provide(plan, yes=True, allow_private=True)

    folder = caught.value.report.items[0].path
    assert not folder.exists()
    assert folder.with_name("provided-end.disabled").is_dir()
    assert (await connector.plan(HELLO)).path is None
