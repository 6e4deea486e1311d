"""Eight rounds of one workflow, with another seed and cfg each time."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/discomfort_test1.json"


async def main():
    discomfort = await Discomfort.create()
    images = []
    with discomfort.Context() as context:
        for i in range(8):
            context.save("cfg", 1.0 + i * 0.5)
            context.save("seed", 1000 + i)
            results = await discomfort.run([WORKFLOW], context=context)
            images.append(results["output_image"])
        keys = context.list_keys()
    await discomfort.shutdown()
    return images, keys


if __name__ == "__main__":
    asyncio.run(main())
