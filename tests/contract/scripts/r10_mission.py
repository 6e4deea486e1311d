"""A picture is improved until a judge likes it: a loop on a value that a workflow has made."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    rounds = 0
    with discomfort.Context() as context:
        context.save("input_image", discomfort.Tools.open_image_as_tensor("input.png"))
        context.save("llm_prompt", "How good is this picture, from 0 to 1?")
        quality = 0.0
        while quality < 0.7:
            await discomfort.run(["improve.json"], context=context)
            context.save("image_to_assess", context.load("output_image"))
            await discomfort.run(["judge.json"], context=context)
            quality = context.load("quality_index")
            context.save("input_image", context.load("output_image"))
            rounds += 1
            print(f"round {rounds}: {quality:.2f}")
    await discomfort.shutdown()
    return rounds, quality


if __name__ == "__main__":
    asyncio.run(main())
