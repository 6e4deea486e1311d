"""Provides what a plan lacks: the proposal, the consent, the downloads, the packs, and what follows from them."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from discomfort._system.concurrency import in_thread
from discomfort.exceptions import ConfigurationError, ConsentError, DiscomfortError, DownloadError, ProvideError
from discomfort.planning.needs import ModelNeed
from discomfort.planning.workflow_plan import WorkflowPlan, value_line
from discomfort.provision.addresses import checked_url
from discomfort.provision.disk_room import RESERVE, DiskRoom
from discomfort.provision.file_receiver import DownloadLimits
from discomfort.provision.host_tokens import HostTokens
from discomfort.provision.model_fetch import ModelFetch
from discomfort.provision.model_places import KindFolder, NoPlaceError, kinds_below, place_of, read_kinds
from discomfort.provision.pack_offers import PackWays
from discomfort.provision.pack_round import PackRound
from discomfort.provision.proposal import ModelOffer, Obstacle, PackOffer, Proposal, without_repeats
from discomfort.provision.provide_progress import ProvideProgress, ProvideReporter
from discomfort.provision.provide_report import ProvidedItem, ProvideReport, failed_item, failures_of
from discomfort.provision.server_site import ProvidedServer

_log = logging.getLogger("discomfort.provision")

Consent = Callable[[Proposal], bool | Awaitable[bool]]
"""Is asked before anything is fetched; what it returns decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideOptions:
    """The arguments of :meth:`ComfyConnector.provide` that say how."""

    timeout: float | None = None
    tokens: Mapping[str, str] | None = field(default=None, repr=False)
    models_directory: Path | None = None
    allow_private: bool = False
    extensions: Collection[str] = ()
    any_version: bool = False
    parallel: int = 4
    reserve: int = RESERVE
    limits: DownloadLimits = field(default_factory=DownloadLimits)

    def __post_init__(self) -> None:
        for key, value, least in (("parallel", self.parallel, 1), ("reserve", self.reserve, 0)):
            if value < least:
                raise ConfigurationError(f"must be at least {least}", key=key, value=value)
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigurationError("must be more than 0 seconds", key="timeout", value=self.timeout)


class Provider:
    """Provides what ``plan`` lacks on one server."""

    def __init__(
        self,
        server: ProvidedServer,
        plan: WorkflowPlan,
        options: ProvideOptions,
        on_progress: Callable[[ProvideProgress], object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._server, self._plan, self._options = server, plan, options
        self._environ = os.environ if environ is None else environ
        self._reporter = ProvideReporter(on_progress)

    async def propose(self) -> Proposal:
        """What would be done. Asks the server for its folders, and no other host for anything."""
        models, packs, obstacles = list[ModelOffer](), list[PackOffer](), list[Obstacle]()
        if self._plan.missing_models:
            kinds = await self._kinds()
            for need in self._plan.missing_models:
                offer = self._model_offer(need, kinds)
                if isinstance(offer, ModelOffer):
                    models.append(offer)
                else:
                    obstacles.append(offer)
        ways = PackWays(self._server.site, self._environ, allows_private=self._options.allow_private)
        for pack in self._plan.packs:
            found = await in_thread(lambda pack=pack: ways.offer(pack))  # type: ignore[misc]
            if isinstance(found, PackOffer):
                packs.append(found)
            else:
                obstacles.append(found)
        return Proposal(without_repeats(models), tuple(packs), (*obstacles, *_others(self._plan)))

    async def run(self, *, yes: bool, consent: Consent | None, dry_run: bool) -> ProvideReport:
        """Propose, ask, and do it. Raises ConsentError, ProvideError."""
        proposal = await self.propose()
        impossible = [
            ProvidedItem(each.kind, each.name, "impossible", reason=each.reason) for each in proposal.obstacles
        ]
        if dry_run:
            return ProvideReport(proposal, (*_planned(proposal), *impossible), is_dry_run=True)
        if proposal.is_empty:
            return ProvideReport(proposal, tuple(impossible))
        await _agree(proposal, yes=yes, consent=consent)
        loop = asyncio.get_running_loop()
        deadline = None if self._options.timeout is None else loop.time() + self._options.timeout
        models = await self._fetch(proposal, deadline)
        round_ = PackRound(self._server, self._reporter, self._environ, self._options.any_version, self._protocols)
        packs = await round_.run(proposal.packs)
        if any(item.outcome != "failed" for item in (*models, *packs)):
            self._server.forget_definitions()
        models = [await self._listed(*each) for each in zip(proposal.models, models, strict=True)]
        plan = await self._planned_again()
        report = ProvideReport(
            proposal, (*models, *packs, *_remaining(impossible, plan)), is_restarted=round_.is_restarted,
            restart_reason=round_.restart_reason, plan=plan,
        )  # fmt: skip
        return _without_failures(report)

    async def _planned_again(self) -> WorkflowPlan | None:
        try:
            return await self._server.new_plan()
        except DiscomfortError as error:
            # What was provided is there all the same, and the report names it.
            _log.warning("the new plan could not be made: %s", error)
            return None

    @property
    def _protocols(self) -> str:
        return "https:http" if self._options.allow_private else "https"

    def _model_offer(self, need: ModelNeed, kinds: dict[str, KindFolder] | None) -> ModelOffer | Obstacle:
        if need.url is None:
            return Obstacle("model", need.place, "no address is known from which it could be fetched")
        if kinds is None:
            return Obstacle(
                "model", need.place,
                "models are fetched only for a server that the connector starts itself; if this machine has the "
                "server's folder of models, pass models_directory= (--models-directory)",
            )  # fmt: skip
        try:
            target = place_of(need.folder, need.name, kinds, self._options.extensions)
            return ModelOffer(need, checked_url(need.url, need.name), target)
        except (NoPlaceError, DownloadError) as error:
            return Obstacle("model", need.place, str(error))

    async def _kinds(self) -> dict[str, KindFolder] | None:
        """The kinds of models with their folders on this machine; ``None`` if they are on another one."""
        given = self._options.models_directory
        if given is None and not self._server.site.is_ours:
            return None
        known = read_kinds(await self._server.model_folders())
        if given is None:
            return known
        try:
            return await in_thread(lambda: kinds_below(given.absolute(), known))
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            raise ConfigurationError(problem, key="models_directory", value=str(given)) from error

    async def _fetch(self, proposal: Proposal, deadline: float | None) -> list[ProvidedItem]:
        if not proposal.models:
            return []
        room = DiskRoom(self._options.reserve)
        options = self._options
        fetch = ModelFetch(
            HostTokens(options.tokens, self._environ), room, self._reporter, limits=options.limits,
            parallel=options.parallel, deadline=deadline, allows_private=options.allow_private,
        )  # fmt: skip
        return await fetch.run(proposal.models)

    async def _listed(self, offer: ModelOffer, item: ProvidedItem) -> ProvidedItem:
        """The item, failed if the server does not find its file."""
        if item.outcome == "failed":
            return item
        names = await self._server.model_names(offer.target.kind)
        if names is None or offer.need.name in {each.replace("\\", "/") for each in names}:
            return item
        problem = f"{item.name} is at {item.path}, and the server does not list it"
        remedy = "Is models_directory the folder that it reads?" if self._options.models_directory else ""
        return failed_item(item, ProvideError(problem, remedy=remedy))


async def _agree(proposal: Proposal, *, yes: bool, consent: Consent | None) -> None:
    if yes:
        return
    if consent is None:
        raise ConsentError(
            f"nothing was fetched, since nobody agreed to it:\n{proposal}", proposal=proposal,
            remedy="Pass yes=True, or consent= with a function that decides (--yes)",
        )  # fmt: skip
    answer = consent(proposal)
    if inspect.isawaitable(answer):
        answer = await answer
    # Nothing but True counts: a function without a return statement did not agree.
    if answer is not True:
        raise ConsentError("nothing was fetched: it was declined", proposal=proposal)


def _others(plan: WorkflowPlan) -> list[Obstacle]:
    """What a plan lacks beside models and packs, which only the caller can change."""
    found = [Obstacle("file", file.name, "upload it: it is yours") for file in plan.files]
    for value in plan.values:
        place, _, reason = value_line(value).partition(": ")
        found.append(Obstacle("value", place, reason))
    return found + [Obstacle("problem", plan.name or "the workflow", problem) for problem in plan.problems]


def _remaining(impossible: list[ProvidedItem], plan: WorkflowPlan | None) -> list[ProvidedItem]:
    """What is still impossible by the new plan: a workflow that lacks packs has problems that end with them."""
    if plan is None:
        return impossible
    still = {(each.kind, each.name, each.reason) for each in _others(plan)}
    passing = {"value", "problem"}
    return [item for item in impossible if item.kind not in passing or (item.kind, item.name, item.reason) in still]


def _planned(proposal: Proposal) -> list[ProvidedItem]:
    models = [ProvidedItem("model", each.need.place, "planned", each.path, each.need.size) for each in proposal.models]
    return models + [ProvidedItem("pack", each.name, "planned", each.folder) for each in proposal.packs]


def _without_failures(report: ProvideReport) -> ProvideReport:
    failures = failures_of(report.items)
    if not failures:
        return report
    done = f"; {len(report.fetched)} were" if report.fetched else ""
    problem = f"{len(failures)} of {len(report.items)} things could not be provided{done}"
    error = ProvideError(problem, failures=failures, report=replace(report))
    raise error from failures[0]
