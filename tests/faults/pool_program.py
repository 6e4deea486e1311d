"""A program with a pool of two servers, which says where they are once a run has saved its picture, and then waits.

Arguments: settings as JSON, and the file that would let the run end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from discomfort.pool.pool import ComfyPool
from discomfort.progress import NodeOutput


def prompt(gate: Path) -> dict[str, Any]:
    """Saves a picture that is brought, then waits: of two nodes that could be next, servers take the one that saves."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "Photo"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "pool"}},
        "3": {"class_type": "GetImageSize", "inputs": {"image": ["1", 0]}},
        "4": {
            "class_type": "ContractGate",
            "inputs": {"path": str(gate), "seconds": 600.0, "deaf": False, "after": ["3", 0]},
        },
    }


async def main(settings: dict[str, Any], gate: Path, picture: Path) -> None:
    """Create, run, wait."""
    async with await ComfyPool.create(servers=2, **settings) as pool:
        run = await pool.submit(prompt(gate), files={"Photo.image": picture})
        urls = [server.url for server in pool.status().servers]
        async for event in run.events():
            if isinstance(event, NodeOutput) and event.node_id == "2":
                print(json.dumps(urls), flush=True)  # noqa: T201
        await run


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
