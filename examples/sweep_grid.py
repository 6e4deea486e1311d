"""Six pictures, one for each combination of values, and a contact sheet. Started again, it makes what is missing."""

import asyncio

from discomfort import ComfyConnector, SweepProgress


def show(progress: SweepProgress) -> None:
    if progress.event is None and progress.row.status != "waiting":
        print(f"{progress.ended} of {progress.total}: {progress.row.label} {progress.row.error or ''}")


async def main() -> None:
    async with await ComfyConnector.create() as connector:
        upscale = await connector.load("upscale.json")
        sweep = upscale.grid(image="photo.png", scale=[1, 2, 3], upscale_method=["area", "lanczos"])
        report = await sweep.run("results", on_progress=show)
    print(f"{len(report.done)} done, {len(report.failed)} failed; see {report.table} and {report.contact_sheets[0]}")


asyncio.run(main())
