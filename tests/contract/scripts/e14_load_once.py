"""A model is loaded once, and used for five texts."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


async def main():
    discomfort = await Discomfort.create()
    outputs = []
    with discomfort.Context() as context:
        await discomfort.run(["load_model.json"], context=context)
        for index, prompt in enumerate(["a cat", "a dog", "a bird", "a fish", "a fox"]):
            context.save("prompt", prompt)
            context.save("seed", index)
            await discomfort.run(["main_workflow.json"], context=context)
            outputs.append(context.load("output"))
        kind = context.get_storage_info("my_model")["pass_by"]
    await discomfort.shutdown()
    return outputs, kind


if __name__ == "__main__":
    asyncio.run(main())
