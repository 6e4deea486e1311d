"""Nine runs, three at a time, without a context."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/discomfort_workflow.json"


async def main():
    discomfort = await Discomfort.create()
    slots = asyncio.Semaphore(3)

    async def one(seed):
        async with slots:
            inputs = {"prompt": "a castle", "seed": seed, "cfg_scale": 7.0}
            return seed, await discomfort.run([WORKFLOW], inputs=inputs)

    results = await asyncio.gather(*(one(seed) for seed in range(9)))
    await discomfort.shutdown()
    return results


if __name__ == "__main__":
    asyncio.run(main())
