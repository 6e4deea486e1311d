"""A server that lacks some of ComfyUI's own loaders: its frontend then loses others too, silently."""

from __future__ import annotations

from typing import Any

import pytest
from browser.made_workflows import node, workflow
from browser.stub_server import StubServer, front_end_root

from discomfort.conversion import Converter
from discomfort.exceptions import MissingNodesError

pytestmark = pytest.mark.browser


def loading() -> dict[str, Any]:
    """A checkpoint loader and what it feeds."""
    loader = node(1, "CheckpointLoaderSimple", outputs=("MODEL", "CLIP", "VAE"), values=["a.safetensors"])
    text = node(2, "CLIPTextEncode", inputs=(("clip", "CLIP"),), outputs=("CONDITIONING",), values=["words"])
    return workflow([loader, text], [(1, 1, 2, 0, "CLIP")])


async def test_reduced_definitions_lose_no_node_silently() -> None:
    """Without VAELoader ComfyUI's frontend gives a checkpoint loader no class: an error that names it."""
    server = await StubServer().start()
    server.define("VAELoader", None)
    converter = Converter(server.url, front_end_root=front_end_root(), install=False)
    try:
        with pytest.raises(MissingNodesError) as caught:
            await converter.convert(loading())
    finally:
        await converter.aclose()
        await server.aclose()

    assert [missing.class_type for missing in caught.value.missing] == ["CheckpointLoaderSimple"]
