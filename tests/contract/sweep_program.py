"""A program with a sweep of 200 rows on a server that runs already; test_sweeping kills it."""

from __future__ import annotations

import asyncio
import sys

from contract.graphs import picture_prompt

from discomfort import ComfyConnector, SweepProgress


def tell(progress: SweepProgress) -> None:
    """One line for each row that begins or has ended."""
    if progress.event is None:
        row = progress.row
        sys.stdout.write(f"{row.values['Source.color']} {row.status} {int(row.is_new)}\n")
        sys.stdout.flush()


async def main(url: str, folder: str) -> None:
    """Attach, and make what is missing."""
    async with await ComfyConnector.attach(url, browser="lazy") as connector:
        paint = await connector.load(picture_prompt(size=8))
        await paint.grid({"Source.color": range(200)}).run(folder, on_progress=tell, contact_sheet=False)


asyncio.run(main(sys.argv[1], sys.argv[2]))
