"""The sizes of the models that runs use, as their servers list them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from discomfort.exceptions import DiscomfortError
from discomfort.pool.pool_servers import PoolServer
from discomfort.pool.run_requests import ModelFile
from discomfort.pool.scheduler import Scheduler
from discomfort.pool.server_slots import ServerSlots
from discomfort.workflow.subgraphs import objects

_log = logging.getLogger("discomfort.pool")


class ModelSizes:
    """Asks for each folder once, and again when a run names a model that was not in it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._known: set[ModelFile] = set()

    async def learn(self, models: Iterable[ModelFile], slots: ServerSlots) -> None:
        """Tell the scheduler the sizes of these models, as far as a server knows them. Never raises."""
        new = {model for model in models if model.folder and model not in self._known}
        # A size that nobody knows is asked for once: the scheduler then reckons with a usual one.
        self._known.update(new)
        for folder in sorted({model.folder for model in new}):
            left = {model.name for model in new if model.folder == folder}
            for slot in slots.slots:
                if left and slot.state in ("ready", "draining"):
                    left -= await self._ask(slot.server, folder, left)

    async def _ask(self, server: PoolServer, folder: str, names: set[str]) -> set[str]:
        """The names whose size a server has told."""
        try:
            entries = objects(await server.get(f"/experiment/models/{folder}"))
        except DiscomfortError as error:
            _log.debug("the sizes of models are not known: %s", error)
            return set()
        found = set()
        for entry in entries:
            name, size = entry.get("name"), entry.get("size")
            if name in names and isinstance(size, int) and not isinstance(size, bool) and size >= 0:
                self._scheduler.learn_size(ModelFile(folder, str(name)), size)
                found.add(str(name))
        return found
