"""ComfyUI's process, in which our nodes run: its folders, its node classes, its address, and whether a run is stopped.

ComfyUI's modules are imported when they are needed: they exist there only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._json_objects import JsonObject, copied
from ..exceptions import StateError


def workflow_folders() -> list[Path]:
    """The folders whose workflows a prompt may name: node packs, uploads, and workflows that users saved."""
    import folder_paths

    users = Path(folder_paths.get_user_directory())
    saved = sorted(users.glob("*/workflows"))
    packs = [Path(path) for path in folder_paths.get_folder_paths("custom_nodes")]
    return [*packs, Path(folder_paths.get_input_directory()), *saved]


def base_folder() -> Path:
    """ComfyUI's own folder, or the one that ``--base-directory`` names."""
    import folder_paths

    return Path(folder_paths.base_path)


def definition(class_type: str) -> JsonObject | None:
    """The inputs and outputs of a node class, as ``/object_info`` shows them; ``None`` if there is no such class."""
    import nodes

    classes: Mapping[str, Any] = nodes.NODE_CLASS_MAPPINGS
    found = classes.get(class_type)
    if found is None:
        return None
    outputs = [each if isinstance(each, str) else list(each) for each in getattr(found, "RETURN_TYPES", ())]
    told: JsonObject = {"input": copied(found.INPUT_TYPES()), "output": outputs}
    return told


def server_url() -> str:
    """The address at which this very server answers a program on its machine. Raises StateError."""
    import server
    from comfy.cli_args import args

    instance = server.PromptServer.instance
    port, address = getattr(instance, "port", None), str(getattr(instance, "address", None) or "127.0.0.1")
    if not isinstance(port, int):
        raise StateError("this server does not tell its port")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.strip("[]"), address.strip("[]"))  # noqa: S104 - compared
    scheme = "https" if getattr(args, "tls_keyfile", None) and getattr(args, "tls_certfile", None) else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def check_interrupted() -> None:
    """Raises ComfyUI's own exception if somebody stopped the run."""
    from comfy.model_management import throw_exception_if_processing_interrupted

    throw_exception_if_processing_interrupted()


def library_folder() -> Path:
    """The folder from which ``discomfort`` can be imported: the clone, or where packages are installed."""
    return Path(os.path.abspath(__file__)).parents[2]  # noqa: PTH100 - a link in the way is kept
