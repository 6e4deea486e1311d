"""Wait for what a converter does after it has answered."""

from __future__ import annotations

import asyncio

from discomfort.conversion import Converter


async def settled(converter: Converter) -> None:
    """Wait until what happens after a conversion has happened."""
    while tasks := {*converter._engine._background, *converter._learning}:
        await asyncio.wait(tasks)
