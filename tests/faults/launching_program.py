"""A program with four servers of its own, all busy. Arguments: settings, a prompt, a file to upload."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from discomfort import ComfyConnector


async def main(settings: str, prompt: str, source: str) -> None:
    """Launch, upload, submit; say where, and wait for what never ends."""
    launched = await asyncio.gather(*(ComfyConnector.launch(**json.loads(settings)) for _ in range(4)))
    uploads = [
        await one.upload(Path(source), name=f"upload-{number}.bin", ephemeral=True)
        for number, one in enumerate(launched)
    ]
    runs = [await one.submit(json.loads(prompt), False) for one in launched]
    facts = {
        "addresses": [one.server_address for one in launched],
        "uploads": [str(upload.path) for upload in uploads],
    }
    print(json.dumps(facts), flush=True)  # noqa: T201
    await asyncio.gather(*runs)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
