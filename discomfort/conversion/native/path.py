"""Converts workflows of a known shape without the browser, once that is proven to be right.

A shape is learnt after its first workflow (see ``experiments``). Then it is on trial: the browser converts, and the
plan's prediction is compared with the result; the experiments with random values that end the learning count too. After
``TRIALS`` equal results the plan converts alone, and is compared again now and then. One difference disables it for
good; that is stored too.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from discomfort._system.concurrency import to_thread
from discomfort.conversion.cache import CachedPrompt
from discomfort.conversion.native.comparison import UnprovenError
from discomfort.conversion.native.experiments import CHECKS, Convert, Experiment
from discomfort.conversion.native.plan import Plan, difference
from discomfort.conversion.native.shapes import ParsedWorkflow, read

if TYPE_CHECKING:
    from discomfort._json import JsonObject
    from discomfort.conversion.cache import PromptCache
    from discomfort.conversion.environment import Environment

logger: logging.Logger = logging.getLogger("discomfort.conversion")

NativeMode = Literal["off", "trial", "on"]

TRIALS: Final = CHECKS + 1
"""Prompts that must equal the browser's before a plan converts alone: those for random values, and that of the workflow
itself."""

CHECK_EVERY: Final = 100
"""One of this many prompts that a plan made alone is compared with the browser's afterwards."""

WAITING: Final = 4
"""Shapes that are being learnt or wait for it; of others only the latest values are remembered, until they recur."""

SHAPES: Final = 64
"""Shapes kept in memory; plans are stored with the prompts too."""


@dataclass(slots=True)
class NativeResult:
    """The native path's result for one workflow.

    ``prompt`` is the plan's prompt, ``None`` if it declines for ``reason``. If ``trusted`` it may be used as it is,
    else it must be compared with the browser's. ``check``: compare it too, but afterwards.
    """

    environment: Environment
    parsed: ParsedWorkflow
    plan: Plan | None = None
    prompt: JsonObject | None = None
    reason: str = ""
    trusted: bool = False
    check: bool = False


@dataclass(slots=True)
class _Sample:
    text: str
    parsed: ParsedWorkflow
    prompt: str


class NativePath:
    """The plans of one converter. ``cache`` keeps them for other processes. Raises nothing but cancellations.

    ``declined`` counts, by reason, how often no plan could convert.
    """

    def __init__(self, mode: NativeMode, cache: PromptCache | None = None) -> None:
        self._mode, self._cache = mode, cache
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._samples: OrderedDict[str, _Sample] = OrderedDict()
        self._learning = asyncio.Lock()
        self._learners = 0
        self.declined: Counter[str] = Counter()

    def __repr__(self) -> str:
        trusted = sum(1 for plan in self._plans.values() if plan.off is None and plan.agreed >= TRIALS)
        off = sum(1 for plan in self._plans.values() if plan.off is not None)
        return f"<NativePath {self._mode}, {len(self._plans)} shapes, {trusted} trusted, {off} off>"

    async def convert(self, text: str, environment: Environment) -> NativeResult | None:
        """The result for the workflow ``text`` (JSON); ``None`` if the path is off or cannot read it."""
        parsed = read(text, environment.digest) if self._mode != "off" else None
        if parsed is None:
            return None
        native = NativeResult(
            environment, parsed, self._plans.get(parsed.key) or await self._stored(parsed, environment)
        )
        if native.plan is None:
            return self._decline(native, "its shape is not known")
        # Least recently used plans are dropped first. setdefault, since another call may have loaded it meanwhile.
        self._plans.setdefault(parsed.key, native.plan)
        self._plans.move_to_end(parsed.key)
        reason = native.plan.refusal(parsed.values)
        if reason is not None:
            return self._decline(native, reason)
        native.prompt = native.plan.apply(parsed.values)
        native.trusted = self._mode == "on" and native.plan.agreed >= TRIALS
        if native.trusted:
            native.plan.uses += 1
            native.check = native.plan.uses % CHECK_EVERY == 0
        else:
            self.declined["its shape is on trial"] += 1
        return native

    def _decline(self, native: NativeResult, reason: str) -> NativeResult:
        native.reason = reason
        self.declined[reason.partition(" (")[0]] += 1
        logger.debug("not converted natively: %s", reason)
        return native

    # -- what the browser made -----------------------------------------------------------------------------------------

    async def compare(self, native: NativeResult, prompt: JsonObject) -> None:
        """Compare the browser's ``prompt`` for the workflow that ``native`` was made for."""
        plan = native.plan
        if plan is None or native.prompt is None or plan.off is not None:
            return
        # Applied again: the prompt in the result was given to the caller, who may have changed it.
        where = difference(plan.apply(native.parsed.values), prompt)
        if where is not None:
            self._switch_off(plan, where)
        else:
            plan.agreed += 1
        if where is not None or plan.agreed == TRIALS:
            await self._store(native.parsed.key, plan)

    @staticmethod
    def _switch_off(plan: Plan, where: str) -> None:
        # For good, even if the cause was a passing one: a wrong picture costs more than a browser's conversion.
        plan.off = f"the browser's result differed once, at {where}"
        logger.warning(
            "the native conversion differs from the browser's at %s; the browser converts this shape from now on",
            where,
        )

    async def learn(self, native: NativeResult, text: str, prompt: str, convert: Convert) -> None:
        """Learn the shape of ``text`` from the browser's ``prompt`` (JSON).

        One shape is learnt at a time and few may wait, so that a stream of workflows of ever new shapes does not keep
        the browser busy. ``convert`` converts experiments in the browser; it returns ``None`` if that is impossible.
        """
        key, parsed = native.parsed.key, native.parsed
        if native.plan is not None or key in self._plans or not parsed.values:
            return
        latest = _Sample(text, parsed, prompt)
        if self._learners >= WAITING:
            self._samples[key] = latest
            _trim(self._samples)
            return
        # Two different sets of values prove more than one: those of an earlier call are used as well.
        sample = self._samples.pop(key, latest)
        self._learners += 1
        try:
            async with self._learning:
                # Another call learnt it while this one waited for the lock.
                if key in self._plans:
                    return
                plan = await self._learnt(latest, sample, native.environment, convert)
        finally:
            self._learners -= 1
        for each in (latest,) if sample.parsed == parsed else (sample, latest):
            if plan.refusal(each.parsed.values) is None:
                where = difference(plan.apply(each.parsed.values), json.loads(each.prompt))
                if where is None:
                    plan.agreed += 1
                else:
                    self._switch_off(plan, where)
        self._plans[key] = plan
        _trim(self._plans)
        await self._store(key, plan)

    @staticmethod
    async def _learnt(sample: _Sample, before: _Sample, environment: Environment, convert: Convert) -> Plan:
        experiment = Experiment(sample.text, sample.parsed, environment, convert, before.parsed.values)
        try:
            plan = await experiment.learn()
        except UnprovenError as error:
            logger.info("the browser converts all workflows of this shape: %s", error)
            # Kept and stored as well, so that no process tries to learn this shape again.
            return Plan(b"{}", off=str(error))
        plan.agreed = CHECKS
        plan.know(environment.limits, seen_only=environment.foreign)
        held = sum(1 for rule in plan.rules if rule.kind == "held")
        logger.info("learnt the shape of a workflow: %d values, %d of them not proven", len(plan.rules), held)
        return plan

    # -- storage -------------------------------------------------------------------------------------------------------

    async def _stored(self, parsed: ParsedWorkflow, environment: Environment) -> Plan | None:
        if self._cache is None:
            return None
        plan = await to_thread(self._load, parsed)
        if plan is not None and plan.off is None:
            plan.know(environment.limits, seen_only=environment.foreign)
        return plan

    def _load(self, parsed: ParsedWorkflow) -> Plan | None:
        entry = self._cache.get(_name(parsed.key)) if self._cache else None
        if entry is None:
            return None
        data: Any = orjson.loads(entry.prompt)
        return Plan.from_json(data, len(parsed.values))

    async def _store(self, key: str, plan: Plan) -> None:
        if self._cache is not None:
            await to_thread(self._save, self._cache, key, plan)

    @staticmethod
    def _save(cache: PromptCache, key: str, plan: Plan) -> None:
        name = _name(key)
        entry = cache.get(name, fresh=True)
        if plan.off is None and entry is not None:
            # Read from disk just before: another process may have disabled the plan, and this must not enable it again.
            plan.off = orjson.loads(entry.prompt).get("off")
        cache.put(name, CachedPrompt(plan.to_json()))


def _name(key: str) -> str:
    """The plan's key in the cache of prompts, distinct from the key of any prompt."""
    return hashlib.sha256(f"plan\0{key}".encode()).hexdigest()


def _trim(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > SHAPES:
        kept.popitem(last=False)
