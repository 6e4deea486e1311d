"""Facts about the operating system and about asyncio, each known in one place. Every part may use them."""
