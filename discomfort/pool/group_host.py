"""A group of servers with the same nodes, as workflows see it: one of them converts for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from discomfort._json import JsonObject
from discomfort.connector.payloads import Payload, read_object_of
from discomfort.conversion.explanation import Explanation
from discomfort.exceptions import MissingNodesError, PoolError, ServerError, StateError
from discomfort.pool.definition_groups import DefinitionGroup
from discomfort.pool.pool_servers import PoolServer
from discomfort.server_features import COMBO_CHECK, ServerFeatures
from discomfort.workflow.partner_nodes import Spending, partner_nodes
from discomfort.workflow.preflight import check_prompt

T = TypeVar("T")

_NO_SERVER = 60.0
"""Seconds in which servers that died may be restarted; one with many packs takes that long."""

_CHECKS_LISTS = ServerFeatures(at_least=COMBO_CHECK.since)


class GroupHost:
    """Prepares the calls of workflows for the servers of a group; nothing runs here.

    The first server of the group converts, as long as it is there, so that one browser is started at most.
    """

    def __init__(
        self,
        group: DefinitionGroup,
        find: Callable[[str], PoolServer | None],
        wait_any: Callable[[], Awaitable[None]],
    ) -> None:
        """``find`` gives the server of a name, if it can be asked now; ``wait_any`` waits until the pool has one."""
        self._group, self._find, self._wait_any = group, find, wait_any
        self._converter = ""

    @property
    def server_address(self) -> str:
        """None: a file that one server has is not on the others."""
        return ""

    async def get_prompt_from_workflow(self, workflow: Payload) -> JsonObject:
        """The prompt of a workflow. If the converting server dies meanwhile, another one takes its place."""
        graph = read_object_of(workflow)
        return await self._ask(lambda server: server.convert(graph))

    async def explain(self, workflow: Payload) -> Explanation:
        """The conversion of a workflow as far as possible."""
        graph = read_object_of(workflow)
        return await self._ask(lambda server: server.explain(graph))

    async def node_definitions(self, *, fresh: bool = False) -> JsonObject:
        """The definitions of the group."""
        return self._group.definitions

    async def has_file(self, name: str, subfolder: str, folder: str) -> bool:
        """Whether the servers have a file; the first one is asked for all."""
        return await self._ask(lambda server: server.has_file(name, subfolder, folder))

    async def check(self, prompt: JsonObject) -> None:
        """Raise what is wrong with a prompt by the definitions; values of lists are left to the server that runs it.

        UnsafePromptError, MissingNodesError, PayloadError.
        """
        definitions = self._group.definitions
        try:
            check_prompt(prompt, definitions, features=_CHECKS_LISTS)
        except MissingNodesError:
            replacements = await self._ask(lambda server: server.get("/node_replacements"))
            if not isinstance(replacements, dict) or not replacements:
                raise
            check_prompt(prompt, definitions, features=_CHECKS_LISTS, replacements=replacements)

    def refuse_paid(self, graph: JsonObject, definitions: Mapping[str, Any], *, allow_paid: bool | None) -> None:
        """Raise PaidNodesError if a prompt has nodes that cost money, and may not run them."""
        Spending(bool(allow_paid)).extra_data(None, partner_nodes(graph, definitions))

    async def _ask(self, question: Callable[[PoolServer], Awaitable[T]]) -> T:
        """The answer of the group's first server that gives one. Raises PoolError if there is none within a minute."""
        failure: Exception | None = None
        try:
            async with asyncio.timeout(_NO_SERVER):
                await self._wait_any()
        except TimeoutError:
            raise PoolError(f"no server of the pool was ready within {_NO_SERVER:g} s") from None
        for name in sorted(self._group.servers, key=lambda each: each != self._converter):
            server = self._find(name)
            if server is None:
                continue
            self._converter = name
            try:
                return await question(server)
            except (ServerError, StateError) as error:
                failure = error
        raise PoolError("no server of the pool answers now, so the workflow cannot be prepared") from failure
