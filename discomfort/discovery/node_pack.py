"""The options that make a server load our node pack, which lies in a folder of its own and need not be installed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from discomfort.discovery.command_line import has_option, option_values

FOLDER = Path(__file__).absolute().parents[1] / "nodes" / "pack"
"""The folder that holds the pack and nothing else that ComfyUI loads."""
NAME = "discomfort_nodes"
"""The folder of the pack itself. Not the name of a clone, which the user may have switched off."""

_PATHS = "--extra-model-paths-config"
_OFF, _LISTED = "--disable-all-custom-nodes", "--whitelist-custom-nodes"


def comfyui_options(words: Collection[str], known: Collection[str]) -> list[str]:
    """What to append to the command line of a ComfyUI with the options ``known``; empty if it has no such option.

    The option for paths can be repeated. That for the list cannot: the last one counts, so it takes over the user's.
    """
    if _PATHS not in known:
        return []
    added = [_PATHS, str(FOLDER / "paths.yaml")]
    if has_option(list(words), _OFF, known):
        added += [_LISTED, *option_values(list(words), _LISTED, known), NAME]
    return added


def emulator_options() -> list[str]:
    """What to append to the command line of the emulator."""
    return ["--custom-node-directory", str(FOLDER)]
