"""All the ways to call run: one workflow, several, inputs, iterations, a context, an object, and the three errors."""

import asyncio
import json
from pathlib import Path

from custom_nodes.discomfort.discomfort import Discomfort


async def caught(discomfort, workflows, inputs):
    """The name of the branch that an error takes."""
    try:
        await discomfort.run(workflows, inputs=inputs)
    except ValueError as e:
        print(f"Invalid: {e}")
        return "ValueError"
    except RuntimeError as e:
        print(f"Failed: {e}")
        return "RuntimeError"
    except Exception as e:
        print(f"Unexpected: {e}")
        return "Exception"
    return "nothing"


async def main():
    discomfort = await Discomfort.create()
    told = {}
    told["single"] = await discomfort.run(["workflow.json"], inputs={"prompt": "a cat", "seed": 42})
    told["sequence"] = await discomfort.run(
        ["load_model.json", "process.json", "upscale.json"], inputs={"prompt": "a cat"}
    )
    told["iterations"] = await discomfort.run(["workflow.json"], inputs={"prompt": "a cat", "seed": 7}, iterations=10)
    told["persistent"] = []
    with discomfort.Context() as context:
        context.save("prompt", "a cat")
        for i in range(5):
            context.save("seed", i)
            results = await discomfort.run(["workflow.json"], context=context)
            told["persistent"].append(results["output_image"])
    with Path("workflow.json").open() as file:
        workflow = json.load(file)
    told["object"] = await discomfort.run([workflow], inputs={"prompt": "a cat", "seed": 42})
    told["branches"] = [
        await caught(discomfort, [], {}),
        await caught(discomfort, ["workflow.json"], {"prompt": "a cat"}),
        await caught(discomfort, ["workflow.json"], {"prompt": "a cat", "seed": "many"}),
        await caught(discomfort, ["failing.json"], {"n": -1}),
        await caught(discomfort, ["no_such_file.json"], {}),
        await caught(discomfort, ["workflow.json"], {"prompt": "a cat", "seed": 1}),
    ]
    await discomfort.shutdown()
    return told


if __name__ == "__main__":
    asyncio.run(main())
