"""Feature flags that the command line sets (``--feature-flag``, ComfyUI 0.21 and newer)."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

log = logging.getLogger("comfyui_emulator")

REGISTERED = {
    "show_signin_button": "The page shows the button to sign in",
    "enable_telemetry": "The page may collect telemetry",
}
"""The switches that a launcher can ask for with ``--list-feature-flags``; all are off by default."""


def registry() -> str:
    """The registered flags as JSON, in the form that launchers read."""
    listed = {
        name: {"type": "bool", "default": False, "description": description} for name, description in REGISTERED.items()
    }
    return json.dumps(listed, indent=2)


def parse_flags(settings: Sequence[str]) -> dict[str, object]:
    """Flags from ``KEY[=VALUE]``; a bare key means true.

    A registered one is true or false; any other value is logged and dropped. Values of other keys stay texts.
    """
    found: dict[str, object] = {}
    for setting in settings:
        key, given, value = setting.partition("=")
        key, value = key.strip(), value.strip() if given else "true"
        if not key:
            continue
        if key not in REGISTERED:
            found[key] = value
        elif value.lower() in ("true", "false"):
            found[key] = value.lower() == "true"
        else:
            log.warning("Could not coerce --feature-flag %s=%r to bool; dropping flag.", key, value)
    return found
