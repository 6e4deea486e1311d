"""The definition of ``DiscomfortPort`` as ``/object_info`` has it, for pages of servers without our nodes. Pure.

A test keeps it equal to what a server with our nodes says.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from discomfort import _json
from discomfort.workflow.workflow_ports import PORT

DEFINITION: Final[dict[str, Any]] = {
    "input": {
        "required": {"unique_id": ["STRING", {"default": "port1"}]},
        "optional": {"input_data": ["*"], "tags": ["STRING", {"default": ""}]},
        "hidden": {"prompt": "PROMPT"},
    },
    "input_order": {"required": ["unique_id"], "optional": ["input_data", "tags"], "hidden": ["prompt"]},
    "is_input_list": False,
    "output": ["*"],
    "output_is_list": [False],
    "output_name": ["output_data"],
    "name": PORT,
    "display_name": "Discomfort Port (Input/Output)",
    "description": (
        "The variable unique_id of a Discomfort run: its value enters here if nothing is connected to input_data, "
        "and leaves here if nothing is connected to output_data."
    ),
    "python_module": "custom_nodes.discomfort",
    "category": "discomfort/utilities",
    "output_node": True,
}

_QUOTED = f'"{PORT}"'.encode()
_ENTRY = _QUOTED + b": " + _json.dumps(DEFINITION)

DIGEST: Final = hashlib.sha256(_ENTRY).hexdigest()
"""Stands for the definition."""


def has_port(text: str) -> bool:
    """Whether the JSON of a workflow may have a port."""
    return f'"{PORT}"' in text


def with_port(definitions: bytes) -> bytes:
    """The node definitions of a server, as JSON, with the port's if they lack it; anything else as it is."""
    head = definitions.strip()
    if not head.startswith(b"{") or not head.endswith(b"}") or _is_there(definitions):
        return definitions
    head = head[:-1].rstrip()
    return head + (b"" if head.endswith(b"{") else b", ") + _ENTRY + b"}"


def _is_there(definitions: bytes) -> bool:
    if _QUOTED not in definitions:
        return False
    try:
        # The name may also be that of a choice.
        return PORT in _json.loads(definitions)
    except (ValueError, TypeError):
        return True
