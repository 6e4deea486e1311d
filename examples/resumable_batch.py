"""Sixty pictures, twenty prompts with three seeds each. Started again, it goes on where it was stopped."""

import asyncio
from pathlib import Path

from rich.progress import track

from discomfort import ComfyConnector

TEXTS = Path("prompts.txt").read_text(encoding="utf-8").splitlines()
JOBS = {Path(f"results/{line:02}-{seed}.png"): (text, seed) for line, text in enumerate(TEXTS) for seed in range(3)}
MISSING = [path for path in JOBS if not path.exists()]


async def main() -> None:
    async with await ComfyConnector.create() as connector:
        for path in track(MISSING, f"{len(MISSING)} of {len(JOBS)} pictures"):
            text, seed = JOBS[path]
            result = await connector.run("workflow.json", {"Positive.text": text, "KSampler.seed": seed})
            await result.images[0].save(path.parent, path.name)  # appears complete, or not at all


asyncio.run(main())
