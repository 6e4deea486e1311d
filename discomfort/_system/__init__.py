"""Helpers for the operating system and for asyncio, which every other part may use."""
