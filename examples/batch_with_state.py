"""A folder of photos, each mixed with the result of the one before; their scores are exported at the end."""

import asyncio
from pathlib import Path

from discomfort import Discomfort

PHOTOS = sorted(Path("photos").glob("*.png"))


async def main() -> None:
    async with await Discomfort.create() as discomfort:
        with discomfort.Context(max_ram_gb=4.0) as context:
            scores = {}
            for photo in PHOTOS:
                picture = discomfort.Tools.open_image_as_tensor(photo)
                if "before" not in context:
                    context.save("before", picture)
                results = await discomfort.run("mix.json", {"photo": picture}, context=context)
                context.save("before", results["image"])
                scores[photo.name] = results["score"]
                discomfort.Tools.save_comfy_image_to_disk(results["image"], Path("results") / photo.name)
                print(Path("results") / photo.name, results["score"])
            context.save("scores", scores)
            context.export_data("scores", "results/scores.json", overwrite=True)


asyncio.run(main())
