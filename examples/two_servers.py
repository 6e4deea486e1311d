"""Two servers in one program: whichever is free takes the next run."""

import asyncio
from collections.abc import Iterator

from discomfort import ComfyConnector


async def work(gpu: str, seeds: Iterator[int]) -> None:
    async with await ComfyConnector.launch(environment={"CUDA_VISIBLE_DEVICES": gpu}) as connector:
        for seed in seeds:
            values = {"KSampler.seed": seed, "SaveImage.filename_prefix": f"seed-{seed}"}
            result = await connector.run("workflow.json", values)
            print(connector.server_address, *await result.save("results"))


async def main() -> None:
    seeds = iter(range(8))
    await asyncio.gather(work("0", seeds), work("1", seeds))


asyncio.run(main())
