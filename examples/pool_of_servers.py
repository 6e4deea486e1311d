"""Eight runs on a pool: ``python pool_of_servers.py 2`` for two servers; without a number, one for each GPU."""

import asyncio
import sys

from discomfort import ComfyPool, PoolResult


async def main(servers: int | None = None) -> None:
    async with await ComfyPool.create(servers=servers) as pool:
        variants = ({"KSampler.seed": seed, "SaveImage.filename_prefix": f"seed-{seed}"} for seed in range(8))
        async for run in pool.as_completed("workflow.json", variants, timeout=600):
            if isinstance(run.outcome, PoolResult):
                print(run.server, *[await output.save("results") for output in run.outcome.outputs])
            else:
                print("failed:", run.outcome)


asyncio.run(main(*map(int, sys.argv[1:])))
