"""The node definitions of a server, fetched once, and the check of prompts against them."""

from __future__ import annotations

import logging

from discomfort._json import JsonObject
from discomfort.client.rest import RestClient
from discomfort.client.server_facts import ServerFacts
from discomfort.client.shared_request import SharedRequest
from discomfort.exceptions import (
    MissingNodesError,
    PaidNode,
    PayloadError,
    ServerResponseError,
    UnsafePromptError,
    ValidationError,
)
from discomfort.server_features import NODE_REPLACEMENTS
from discomfort.workflow.partner_nodes import partner_nodes
from discomfort.workflow.preflight import check_prompt

_log = logging.getLogger("discomfort.client")


class Definitions:
    """``/object_info`` of one server; ``facts`` has its version and features."""

    def __init__(self, rest: RestClient, facts: ServerFacts) -> None:
        self._facts = facts
        self._nodes: SharedRequest[JsonObject] = SharedRequest(rest.object_info, "the node definitions")
        self._replacements: SharedRequest[JsonObject] = SharedRequest(rest.node_replacements, "the node replacements")

    @property
    def known(self) -> JsonObject | None:
        """The last answer; ``None`` before it and after :meth:`forget`."""
        return self._nodes.known

    async def get(self) -> JsonObject:
        """The definitions, not copied. Concurrent callers share one request, which no cancelled caller ends.

        Raises ServerConnectionError, ServerResponseError, StateError after :meth:`close`.
        """
        return await self._nodes.get()

    def forget(self) -> None:
        """Fetch again at the next call; callers that already wait get the older answer."""
        self._nodes.forget()
        self._replacements.forget()

    def close(self) -> None:
        """Cancel the requests under way; callers that wait for them raise StateError."""
        self._nodes.close()
        self._replacements.close()

    async def aclose(self) -> None:
        """:meth:`close`, and wait for the end of the requests."""
        self.close()
        await self._nodes.aclose()
        await self._replacements.aclose()

    async def check(self, prompt: JsonObject) -> JsonObject:
        """The prompt to send. Raises as :func:`check_prompt`.

        A problem found with older definitions is checked again with fresh ones, whose lists contain the files and
        models added since.
        """
        definitions = self.known
        if definitions is not None:
            try:
                return await self.checked(prompt, definitions)
            except UnsafePromptError:
                raise
            except (PayloadError, ValidationError):
                if self.known is definitions:
                    self.forget()
        return await self.checked(prompt, await self._get_or_none())

    async def checked(self, prompt: JsonObject, definitions: JsonObject | None) -> JsonObject:
        """:meth:`check` by these definitions, ``None`` if there are none."""
        features = self._facts.known or await self._facts.get()
        try:
            return check_prompt(prompt, definitions, features=features)
        except MissingNodesError:
            if features.has(NODE_REPLACEMENTS) is False or not (replaced := await self._replaced()):
                raise
        return check_prompt(prompt, definitions, features=features, replacements=replaced)

    def paid_nodes(self, prompt: JsonObject) -> tuple[PaidNode, ...] | None:
        """The nodes of a checked prompt that cost money; ``None`` if the server has no definitions."""
        definitions = self.known
        return None if definitions is None else partner_nodes(prompt, definitions, self._replacements.known)

    async def _replaced(self) -> JsonObject | None:
        try:
            return await self._replacements.get()
        except ServerResponseError as error:
            _log.debug("the server has no list of node replacements: %s", error.problem)
            return None

    async def _get_or_none(self) -> JsonObject | None:
        try:
            return await self.get()
        except ServerResponseError as error:
            _log.warning("prompts are checked without node definitions: %s", error.problem)
            return None
