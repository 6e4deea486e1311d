"""A picture made of another one: ``python image_to_image.py photo.png "a lighthouse at dusk"``."""

import asyncio
import sys

from discomfort import ComfyConnector


async def main(photo: str, text: str) -> None:
    async with await ComfyConnector.create() as connector:
        result = await connector.run(
            "workflow.json",
            {"Positive.text": text, "KSampler.seed": 7},
            files={"LoadImage.image": photo},
        )
        for path in await result.save("results"):
            print(path)


asyncio.run(main(*sys.argv[1:]))
