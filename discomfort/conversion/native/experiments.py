"""Experiments that find out how the values of a workflow arrive in its prompt.

The frontend converts the same workflow with other values, chosen so that each can be recognised, and the results are
compared. Nothing is assumed about widgets, links, primitives, subgraphs or extensions: a value is proven to arrive at a
place if it was there unchanged in every experiment and nothing else changed. A value that is not proven is *held*: the
plan is valid for this one value only.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from discomfort.conversion.native.comparison import MismatchError, UnprovenError, compare, frame, same_frame
from discomfort.conversion.native.plan import Plan, limits_of
from discomfort.conversion.native.rules import FEATURES, SMALL, Rule
from discomfort.conversion.native.shapes import ParsedWorkflow, owners, parse, write
from discomfort.workflow.javascript import Value, through_javascript

if TYPE_CHECKING:
    from discomfort._json import JsonObject
    from discomfort.conversion.environment import Environment

ROUNDS: Final = 8
"""How often the experiments are repeated with more values held."""

CHECKS: Final = 3
"""Experiments with random values whose result the plan must predict."""

EDGES: Final = 8
"""Experiments with values at the limits of what is likely to arrive unchanged."""

_TEXTS: Final = (
    r"a {b|c} d // e /* f */ \{g\} {h} i\\",
    r"a \(b\) c",
    "all of it, 100% and more",
    "%date:yyyy-MM-dd%-%{target}%-%{title}%-%width%-%seed%",
    "  <lora:a:1> __b__ [c:d:0.5] $e #f *g @h ^i ~j\n\n`k`\tél\u00e8ve \u6f22\u5b57 \U0001f642 ",
    "",
    "12.50",
)
"""For each of ``FEATURES``, in their order, a text that has it. The loop over ``EDGES`` relies on that order."""

_WORDS: Final = ("river", "Lantern,", "of", "(glass:1.2)", "seven", "dusk.", "O'Hara", "file-name_01/sub.png", "&", "=")
# The range of ComfyUI's own integers: seeds are unsigned 64-bit numbers. JSON written here cannot hold larger ones.
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**64 - 1
_ENDLESS: Final = 1e300


class Convert(Protocol):
    """The frontend, for experiments."""

    async def __call__(self, text: str, *, steady: bool = False) -> JsonObject | None:
        """The prompt of the workflow ``text`` (JSON); ``None`` if it cannot be converted.

        With ``steady``, only if it is the same with other random numbers and at another date.
        """
        ...


class Experiment:
    """Learns the shape of one workflow; ``other`` has the values of another workflow of that shape, if known.

    :meth:`learn` makes 13 to 18 conversions, one after the other; more if values must be held.
    """

    def __init__(
        self,
        text: str,
        parsed: ParsedWorkflow,
        environment: Environment,
        convert: Convert,
        other: Sequence[Value] = (),
    ) -> None:
        workflow = parse(text)
        if workflow is None:
            raise AssertionError("a workflow that was read once can be read again")
        self._text, self._values, self._convert = text, parsed.values, convert
        self._samples = (parsed.values, other or parsed.values)
        self._workflow, self._environment = workflow, environment
        self._owners = owners(workflow)
        # Seeded with the shape, so that the experiments behind a wrong plan can be repeated.
        self._random = random.Random(parsed.key)  # noqa: S311 - choices among harmless values
        self._base: JsonObject = {}
        # The frontend replaces certain names between percent signs, and scripts of custom nodes may replace others:
        # with such scripts no experiment can prove that a name arrives unchanged.
        self._provable = set(FEATURES) - ({"something between percent signs"} if environment.foreign else set())
        # orjson cannot write integers beyond 64 bits, so such a value cannot be varied.
        self._held = {i for i, value in enumerate(self._values) if _is_huge(value)}
        self._round: set[int] = set()
        self._others = {i: swap for i in range(len(self._values)) if (swap := self._alternative(i)) is not None}

    async def learn(self) -> Plan:
        """The plan. Raises :class:`UnprovenError`; cancelling loses nothing but the work."""
        for _ in range(ROUNDS):
            try:
                return await self._once()
            except MismatchError as mismatch:
                suspects = mismatch.suspects or await self._culprits(mismatch)
                suspects -= self._held
                # Nothing is left to hold: repeating the experiments would end in the same way.
                if not suspects:
                    raise UnprovenError(str(mismatch)) from mismatch
                # A number may be rounded to multiples of something: it gets a second chance with round ones.
                self._held |= {i for i in suspects if i in self._round or type(self._values[i]) in (str, bool)}
                self._round |= suspects - self._held
        raise UnprovenError("too many values have effects that are not proven")

    async def _once(self) -> Plan:
        steps = self._first_steps()
        prompts = [await self._prompt(values) for values in steps]
        self._base = prompts[0]
        for step, prompt in zip(steps, prompts, strict=True):
            same_frame(self._base, prompt, step)
        plan = Plan(json.dumps(self._base).encode(), self._rules(steps, prompts))
        # The workflows' own values count as edges if numbers were rounded above: else they would not be proven.
        for number in range(EDGES + (len(self._samples) if self._round else 0)):
            await self._explore(plan, number)
        self._close_ranges(plan)
        for number in range(CHECKS):
            await self._check(plan, original=number == 0)
        self._refuse_lists(plan)
        return plan

    async def _prompt(self, values: Sequence[Value], *, steady: bool = False) -> JsonObject:
        prompt = await self._convert(write(self._text, values), steady=steady)
        if prompt is None:
            raise UnprovenError("the frontend did not convert it with other values, or not twice the same")
        return prompt

    async def _culprits(self, mismatch: MismatchError) -> set[int]:
        """The value to blame, found by bisection: half of the candidates change at a time. Empty if there is none."""
        first, changed = self._first_steps()[0], mismatch.values

        async def place(varied: Collection[int]) -> str:
            values = [changed[i] if i in varied else first[i] for i in range(len(first))]
            entry = (await self._prompt(values)).get(mismatch.node)
            return json.dumps(frame(entry) if mismatch.name is None else entry and entry["inputs"].get(mismatch.name))

        still = await place(())
        candidates = [number for number in range(len(first)) if number not in self._held]
        # Bisection needs a cause that is repeatable: the place must be the same without changes, and differ with all.
        if still != await place(()) or still == await place(candidates):
            return set()
        while len(candidates) > 1:
            half = candidates[: len(candidates) // 2]
            candidates = half if await place(half) != still else candidates[len(half) :]
        return set(candidates)

    # -- first: where does each value arrive ---------------------------------------------------------------------------

    def _alternative(self, number: int) -> Value | None:
        """Another value for a boolean, or for a choice that its node's class enumerates; ``None`` for free values."""
        value = self._values[number]
        if isinstance(value, bool):
            return not value
        limits = self._environment.limits.get(str(self._owners[number].get("type")), {})
        lists = (each.choices for each in limits.values() if each.choices and value in each.choices)
        return next((other for choices in lists for other in sorted(choices, key=str) if other != value), None)

    def _first_steps(self) -> list[list[Value]]:
        """Values for the experiments that find the places.

        Texts and numbers are unique in each experiment. Booleans and choices have too few values for that: each
        changes in a pattern of its own over the experiments, the binary digits of its number.
        """
        # Numbered from 1, since a code of 0 would never change. Step 0 leaves all as they are and is the base.
        coded = {number: code for code, number in enumerate(self._others, 1)}
        count = max(2, len(coded).bit_length())
        return [[self._step(i, step, coded.get(i)) for i in range(len(self._values))] for step in range(count + 1)]

    def _step(self, number: int, step: int, code: int | None) -> Value:
        value = self._values[number]
        if number in self._held:
            return value
        if code is not None:
            return self._others[number] if step and code >> (step - 1) & 1 else value
        if isinstance(value, str):
            return f"{_name(number)}step{step}"
        # The slope depends on the number of the value, so no two have equal courses, whatever values they start from.
        # Fractions of 1024 are exact in binary, so sums print the same digits here and in the frontend.
        change = step and (1 + number * step)
        start = self._start(number, value)
        return start + (change / 1024 if isinstance(start, float) else change * _unit(start))

    def _start(self, number: int, value: float) -> float:
        """The number from which changes start: the workflow's, or a round one near it."""
        if number in self._round:
            return (value // 64 or 1) * 64 if isinstance(value, int) else round(value)
        return int(value) if float(value).is_integer() else value

    def _rules(self, steps: list[list[Value]], prompts: list[JsonObject]) -> list[Rule]:
        places = self._places(steps, prompts)
        rules = []
        for number, value in enumerate(self._values):
            targets = tuple(places.get(number, ()))
            limits = limits_of(targets, prompts[0], self._environment.limits)
            seen = {through_javascript(values[number]) for values in steps}
            if number in self._held:
                rule = Rule("held", value=value)
            elif isinstance(value, bool):
                rule = Rule("switch", targets)
            elif limits.choices is not None:
                rule = Rule("choice", targets, seen=seen, choices=limits.choices)
                rule.unlisted = not seen <= limits.choices
            elif isinstance(value, str):
                rule = Rule("text", targets)
            else:
                numbers = [each for each in seen if isinstance(each, int | float)]
                start = self._start(number, value)
                rule = Rule("number", targets, start, seen=seen, low=min(numbers), high=max(numbers))
                rule.unit = abs(_unit(start))
                rule.fraction = any(map(_is_fine, numbers))
            rules.append(rule)
        return rules

    def _places(self, steps: list[list[Value]], prompts: list[JsonObject]) -> dict[int, list[tuple[str, str]]]:
        """For each value, the places where it was in all experiments.

        Raises ``MismatchError`` for a place that changed in any other way.
        """
        courses: dict[str, list[int]] = {}
        for number in range(len(self._values)):
            course = json.dumps([through_javascript(values[number]) for values in steps])
            courses.setdefault(course, []).append(number)
        places: dict[int, list[tuple[str, str]]] = {}
        for node, entry in prompts[0].items():
            for name in entry["inputs"]:
                stood = [json.dumps(prompt[node]["inputs"][name]) for prompt in prompts]
                other = next((i for i, each in enumerate(stood) if each != stood[0]), None)
                if other is None:
                    continue
                # Its course through the experiments identifies the value. Two values of one course cannot be told
                # apart, and a course that no value has was computed by the frontend.
                numbers = courses.get(f"[{', '.join(stood)}]", [])
                if len(numbers) != 1:
                    raise MismatchError(steps[other], node, name)
                places.setdefault(numbers[0], []).append((node, name))
        return places

    # -- second: which values arrive -----------------------------------------------------------------------------------

    async def _explore(self, plan: Plan, number: int) -> None:
        """One experiment with extreme values: a value that arrives unchanged is proven."""
        values = [self._edge(rule, i, number) for i, rule in enumerate(plan.rules)]
        prompt = await self._convert(write(self._text, values))
        # The frontend may refuse extreme values: then this experiment proves nothing, and harms nothing.
        if prompt is None:
            return
        wrong = compare(plan, values, prompt)
        for i, (rule, value) in enumerate(zip(plan.rules, values, strict=True)):
            if i in wrong:
                # Texts and numbers stay within what is proven. A choice or a boolean has no narrower range than all of
                # its values, so it must be held.
                if rule.kind in ("choice", "switch"):
                    raise MismatchError(values, *rule.targets[0], {i})
            elif rule.kind == "text":
                rule.features |= self._provable & set(list(FEATURES)[number : number + 1])
            elif rule.kind in ("choice", "number"):
                self._widen(rule, value)

    @staticmethod
    def _widen(rule: Rule, value: Value) -> None:
        value = through_javascript(value)
        if rule.kind == "choice":
            rule.seen.add(value)
        elif isinstance(value, int | float):
            rule.low, rule.high = min(rule.low, value), max(rule.high, value)
            rule.fraction |= _is_fine(value)
            if rule.unit > 1 and value == int(value):
                rule.unit = math.gcd(rule.unit, int(value) - int(rule.value))
            rule.seen.add(value)

    def _edge(self, rule: Rule, number: int, step: int) -> Value:
        value = self._values[number]
        if rule.kind == "held":
            return value
        if rule.kind == "text":
            if step >= len(_TEXTS):
                return _name(number)
            return self._filled(_TEXTS[step], rule) + (f" {_name(number)}" if step < 2 else "")
        if rule.kind == "switch":
            return bool((step + number) % 2)
        if rule.kind == "choice":
            fresh = sorted(rule.choices - rule.seen, key=str) or sorted(rule.choices, key=str) or [value]
            return fresh[number % len(fresh)]
        low, high, unit = self._range(rule, number)
        whole, near = int(rule.value), float(rule.value)
        fine = near + 0.123456 if near + 0.123456 <= high else near - 0.123456
        odd = whole - 37 if whole - 37 >= low else whole + 37
        edges = (low, high, 0, 1, -1, fine, odd, whole + 3 * unit)
        chosen = edges[step] if step < EDGES else self._samples[step - EDGES][number]
        return chosen if isinstance(chosen, int | float) and low <= chosen <= high else rule.value

    def _filled(self, text: str, rule: Rule) -> str:
        """``text`` with references to an existing value, by its node's class and by its title, as in file names."""
        node, name = rule.targets[0] if rule.targets else ("", "seed")
        entry = self._base.get(node, {})
        title = (entry.get("_meta") or {}).get("title")
        return text.replace("{target}", f"{entry.get('class_type')}.{name}").replace("{title}", f"{title}.{name}")

    def _range(self, rule: Rule, number: int) -> tuple[float, float, float]:
        """Lowest and highest number to try, and the step: from the definition, or near the workflow's value."""
        value = self._values[number]
        near = 4 * abs(value) + 10 if isinstance(value, int | float) else 10
        limits = limits_of(rule.targets, self._base, self._environment.limits)
        low = limits.low if limits.low is not None else (-near if float(value) < 0 else 0)
        high = limits.high if limits.high is not None else near
        return max(low, _LOWEST), min(high, _HIGHEST), limits.step or 1

    @staticmethod
    def _close_ranges(plan: Plan) -> None:
        """Allow any number that arrives nowhere; of the others, keep in ``seen`` what needs a proof of its own."""
        for rule in plan.rules:
            if rule.kind != "number":
                continue
            rule.seen = {each for each in rule.seen if each in SMALL or (not rule.fraction and each != int(each))}
            if not rule.targets:
                rule.low, rule.high, rule.fraction, rule.seen = -_ENDLESS, _ENDLESS, True, set(SMALL)

    # -- third: is that all --------------------------------------------------------------------------------------------

    async def _check(self, plan: Plan, *, original: bool) -> None:
        """One experiment with random values that the plan allows; with ``original``, choices stay the workflow's.

        Raises ``MismatchError`` if the plan is wrong.
        """
        values = [self._draw(rule, i, original=original) for i, rule in enumerate(plan.rules)]
        prompt = await self._prompt(values, steady=original)
        wrong = compare(plan, values, prompt)
        if wrong:
            raise MismatchError(values, *plan.rules[min(wrong)].targets[0], wrong)
        for rule, value in zip(plan.rules, values, strict=True):
            if rule.kind == "choice":
                rule.seen.add(through_javascript(value))

    def _draw(self, rule: Rule, number: int, *, original: bool) -> Value:
        value = self._values[number]
        drawn: Value = value
        if rule.kind == "text":
            drawn = " ".join(self._random.choices(_WORDS, k=5)) + _name(number)
        elif rule.kind == "switch":
            drawn = self._random.random() < 0.5
        elif rule.kind == "choice" and not original:
            drawn = self._random.choice(sorted(rule.choices, key=str) or [value])
        elif rule.kind == "number":
            drawn = self._draw_number(rule)
        return drawn

    def _draw_number(self, rule: Rule) -> Value:
        low, high = max(rule.low, _LOWEST), min(rule.high, _HIGHEST)
        start = rule.value
        if isinstance(start, float) and rule.fraction:
            drawn: Value = round(self._random.uniform(low, high), 4)
        else:
            whole = int(start)
            below, above = int((whole - low) // rule.unit), int((high - whole) // rule.unit)
            drawn = whole + rule.unit * self._random.randint(-max(0, below), max(0, above))
        return drawn if rule.refusal(drawn) is None else start

    def _refuse_lists(self, plan: Plan) -> None:
        """Refuse a prompt with file names that are not the workflow's: the server's lists may change."""
        # Places that rules fill get the workflow's own value each time; only the rest could come from a list.
        mapped = {target for rule in plan.rules for target in rule.targets}
        rest = {
            node: entry | {"inputs": {k: v for k, v in entry["inputs"].items() if (node, k) not in mapped}}
            for node, entry in self._base.items()
        }
        if self._environment.depends_on_file_lists(self._workflow, rest):
            raise UnprovenError("the prompt has values from the server's lists of files")


def _name(number: int) -> str:
    return f"value{number}x"


def _unit(value: Value) -> int:
    """By how much a number changes: some inputs round to multiples of 8 or 64; below 2**64, doubles lie 2048 apart."""
    number = float(value)
    if abs(number) >= 2**48:
        return -4096 if number > 0 else 4096
    return 64 if number >= 64 and number % 8 == 0 else 1


def _is_huge(value: Value) -> bool:
    return not isinstance(value, str) and not _LOWEST <= value <= _HIGHEST


def _is_fine(number: float) -> bool:
    """Whether a number has more than four decimals, so that rounding to four would change it."""
    return round(number, 4) != number
