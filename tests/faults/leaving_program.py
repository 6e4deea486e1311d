"""A program that ends without kill_api(), as services and notebooks do; its log goes to stderr.

Arguments: settings and prompt as JSON, and a style: with ``asyncio`` or ``sync``, by ``return`` or ``exit``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from discomfort import ComfyConnector, SyncConnector


def leave(how: str) -> None:
    """Say so, and end the program if that is the way."""
    logging.getLogger("program").info("leaving")
    if how == "exit":
        sys.exit(0)


async def main(settings: dict[str, Any], prompt: dict[str, Any], how: str) -> None:
    """Create, run, leave."""
    connector = await ComfyConnector.create(**settings)
    await connector.run_workflow(prompt, False)
    leave(how)


def main_sync(settings: dict[str, Any], prompt: dict[str, Any], how: str) -> None:
    """The same without ``await``; the connector is kept until the interpreter ends."""
    global connector  # noqa: PLW0603 - as in a script
    connector = SyncConnector.create(**settings)
    connector.run_workflow(prompt, False)
    leave(how)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    given, graph, kind, way = json.loads(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:]
    if kind == "sync":
        main_sync(given, graph, way)
    else:
        asyncio.run(main(given, graph, way))
