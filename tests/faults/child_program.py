"""A program that uses a connector, as people write them; what ends it is up to the test.

Arguments: settings and prompt as JSON, a file to upload, and a style: ``tidy`` calls kill_api in a finally block,
``untidy`` never does, ``leave`` returns from its main function while the connector lives.
"""

from __future__ import annotations

import asyncio
import json
import sys

from discomfort import ComfyConnector
from discomfort.progress import NodeStarted, ProgressEvent


async def main(settings: str, prompt: str, upload: str, style: str) -> None:
    """Create, upload, run."""
    connector = await ComfyConnector.create(**json.loads(settings))
    uploaded = connector.upload_data(upload, subfolder="ephemeral", is_ephemeral=True)
    watchdog = connector._parts.watchdog
    facts = {
        "address": connector.server_address,
        "uploaded": uploaded,
        "watchdog": watchdog.pid if watchdog is not None else 0,
    }

    def tell(event: ProgressEvent) -> None:
        if isinstance(event, NodeStarted):
            print(json.dumps(facts), flush=True)  # noqa: T201

    try:
        await connector.run_workflow(json.loads(prompt), False, on_progress=tell)
    finally:
        if style == "tidy":
            await connector.kill_api()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
