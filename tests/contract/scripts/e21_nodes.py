"""The page about the nodes: INPUT and OUTPUT, and ids that are missing or twice there."""

import asyncio

from custom_nodes.discomfort.discomfort import Discomfort


def prompt(*, give, take="text", second=None):
    """A workflow in the API format, with a port for its text and one for its result."""
    made = {
        "1": {"class_type": "DiscomfortPort", "inputs": {"unique_id": take}},
        "2": {"class_type": "EmptyImage", "inputs": {"width": ["1", 0], "height": 8, "batch_size": 1, "color": 0}},
        "3": {"class_type": "DiscomfortPort", "inputs": {"unique_id": give, "input_data": ["2", 0]}},
    }
    if second is not None:
        made["4"] = {"class_type": "DiscomfortPort", "inputs": {"unique_id": second, "input_data": ["2", 0]}}
    return made


async def main():
    discomfort = await Discomfort.create()
    with discomfort.Context() as context:
        # INPUT: the value of the variable enters here
        context.save("width", 16)
        # OUTPUT: what arrives becomes the variable's value
        results = await discomfort.run([prompt(take="width", give="result")], context=context)
        image = context.load("result")
    errors = []
    for workflow in (
        prompt(take="", give="result"),
        prompt(take="width", give="result", second="result"),
        prompt(take="unknown", give="result"),
    ):
        try:
            await discomfort.run([workflow], inputs={"width": 16})
        except ValueError as e:
            errors.append(str(e))
    await discomfort.shutdown()
    return results, image, errors


if __name__ == "__main__":
    asyncio.run(main())
