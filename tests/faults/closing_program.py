"""A program that calls kill_api() and is interrupted meanwhile: says ``ready``, ``interrupted``. Argument: settings."""

from __future__ import annotations

import asyncio
import json
import sys

from discomfort import ComfyConnector


async def main(settings: str) -> None:
    """Create, and shut down."""
    connector = await ComfyConnector.create(**json.loads(settings))
    print("ready", flush=True)  # noqa: T201
    try:
        await connector.kill_api()
    except asyncio.CancelledError:
        print("interrupted", flush=True)  # noqa: T201
        raise


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
