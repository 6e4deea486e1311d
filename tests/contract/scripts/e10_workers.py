"""A context of the whole program, and one for each picture of a batch."""

import asyncio

import numpy as np
from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    image = discomfort.Tools.open_image_as_tensor("input.png")
    with discomfort.Context() as orchestrator:
        orchestrator.save("image_batch", np.concatenate([image] * 3))
        image_batch = orchestrator.load("image_batch")
        found = []
        for i in range(len(image_batch)):
            with discomfort.Context() as worker:
                worker.save("input_image", image_batch[i])
                worker.save("seed", i)
                results = await discomfort.run(["img2img.json"], context=worker)
                found.append({"index": i, "image": results["output_image"], "keys": worker.list_keys()})
        orchestrator.save("all_results", found)
        loaded = orchestrator.load("all_results")
    await discomfort.shutdown()
    return found, loaded


if __name__ == "__main__":
    asyncio.run(main())
