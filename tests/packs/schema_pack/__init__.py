"""A node pack in ComfyUI's newer schema, for tests; loads in ComfyUI and in the emulator.

Between them its nodes use every kind of input and every kind of result, and what packs import besides.
"""

from __future__ import annotations

import comfy.model_management
import comfy.utils
import folder_paths
import nodes
from aiohttp import web
from comfy_api.latest import ComfyExtension, io
from server import PromptServer

from .behaviour import BEHAVIOUR
from .definitions import DEFINITIONS

WEB_DIRECTORY = "./js"


@PromptServer.instance.routes.get("/schema_pack/folder/{kind}")
async def folder(request: web.Request) -> web.Response:
    """Whether a folder of that kind is there."""
    found = folder_paths.get_directory_by_type(request.match_info["kind"])
    return web.json_response({"there": found is not None})


class SchemaExtension(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Its nodes; what it imports is looked at, since a pack would use it."""
        assert nodes.MAX_RESOLUTION == 16384
        assert "LoadImage" in nodes.NODE_CLASS_MAPPINGS
        assert hasattr(comfy.utils, "ProgressBar")
        comfy.model_management.throw_exception_if_processing_interrupted()
        return [*DEFINITIONS, *BEHAVIOUR]


async def comfy_entrypoint() -> SchemaExtension:
    """The pack's beginning."""
    return SchemaExtension()
