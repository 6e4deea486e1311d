"""Ten variations of a picture; the seed of each round is read back from the context."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort

WORKFLOW = "custom_nodes/discomfort/examples/workflows/discomfort_test2.json"


async def main():
    discomfort = await Discomfort.create()
    image = discomfort.Tools.open_image_as_tensor("input.png")
    rounds = []
    with discomfort.Context() as context:
        context.save("input_image", image)
        for i in range(10):
            context.save("seed", i)
            place = context.get_storage_info("input_image")
            results = await discomfort.run([WORKFLOW], context=context)
            discomfort.Tools.save_comfy_image_to_disk(results["output_image"], f"output/round_{i}.png")
            rounds.append((context.load("seed"), results["output_image"], place["shm_name"]))
            print(f"round {i}: seed {context.load('seed')}")
        await discomfort.shutdown()
    return rounds


if __name__ == "__main__":
    asyncio.run(main())
