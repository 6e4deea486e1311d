"""``discomfort conformance``: reports where a server differs from ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text

from comfyui_conformance import Check, Report, Result, all_checks, run_checks
from comfyui_conformance.model import AREAS, STATUSES
from discomfort.cli.exit_codes import FAILED, OK, USAGE
from discomfort.cli.inputs import UsageError
from discomfort.cli.progress_bars import make_display
from discomfort.cli.runner import Interrupted, run
from discomfort.cli.terminal import Terminal, clean
from discomfort.exceptions import ServerError


@dataclass(frozen=True, slots=True)
class ConformanceOptions:
    """The options of ``discomfort conformance``. ``headers`` and the URL may contain secrets."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    only: Sequence[str] = ()
    exclusive: bool = False
    json: bool = False


def list_command(only: Sequence[str], terminal: Terminal, *, as_json: bool) -> int:
    """Name the checks, one per line, and return the exit code."""
    checks = _chosen(only)
    if as_json:
        fields = ("name", "expects", "source", "exclusive", "since", "before")
        terminal.write_json([{name: getattr(check, name) for name in fields} for check in checks])
    else:
        for check in checks:
            marks = ", ".join(filter(None, (check.holds, "--exclusive" if check.exclusive else "")))
            terminal.write(f"{check.name}: {check.expects}{f' ({marks})' if marks else ''}\n")
    return OK


def conformance_command(options: ConformanceOptions, terminal: Terminal) -> int:
    """Run the checks and return the exit code: 0 if nothing differs, 1 if something does, 2 if there is no server."""
    chosen = _chosen(options.only)
    display = make_display(terminal)
    areas: list[str] = []

    def begin(check: Check) -> None:
        if check.area not in areas:
            areas.append(check.area)
            display.phase(f"{check.area} ({len(areas)}/{len({one.area for one in chosen})})")

    def end(result: Result) -> None:
        if result.status == "differs" and not options.json:
            display.close()
            show_difference(terminal, result)

    try:
        report = run(
            lambda: run_checks(
                options.url, headers=options.headers, only=options.only, exclusive=options.exclusive,
                on_check=begin, on_result=end,
            ),
            on_stop=lambda name: terminal.note(f"{name}: taking our prompts off the server (once more ends at once)"),
            on_force=lambda: None,
        )  # fmt: skip
    except Interrupted as error:
        display.close()
        terminal.fail(str(error))
        return FAILED
    except ServerError as error:
        display.close()
        terminal.explain(error)
        return USAGE
    finally:
        display.close()
    if options.json:
        terminal.write_json(report.as_json())
    else:
        _summarize(terminal, report)
    return OK if report.ok else FAILED


def show_difference(terminal: Terminal, result: Result) -> None:
    """One check that differs, on stdout: its name, what is expected, where ComfyUI does it, and what was found."""
    if not terminal.out_is_terminal:
        for difference in result.differences:
            terminal.write(f"{result.check.name}: {clean(str(difference))}\n")
        return
    text = Text.assemble(
        (result.check.name, "bold red"), " ", result.check.expects, (f" ({result.check.source})", "dim")
    )
    for difference in result.differences:
        text.append(f"\n  {clean(difference.what)}\n")
        text.append(f"    expected {clean(difference.expected)}\n", style="green")
        text.append(f"    found    {clean(difference.found)}", style="red")
    terminal.show(text)


def _summarize(terminal: Terminal, report: Report) -> None:
    if terminal.out_is_terminal:
        terminal.show(_table(report))
    skipped: dict[str, list[str]] = {}
    for result in report.of("skipped"):
        skipped.setdefault(result.reason, []).append(result.check.name)
    for reason, names in skipped.items():
        terminal.note(f"skipped {', '.join(names)}: {reason}")
    rules, version = report.rules, report.system.get("comfyui_version")
    others = report.of("not-applicable")
    if others:
        named = ", ".join(f"{result.check.name} ({result.check.holds})" for result in others)
        terminal.note(f"not applicable to ComfyUI {rules.follows}: {named}")
    if rules.doubt:
        terminal.note(rules.doubt)
    # The emulator reports the ComfyUI version that it follows, and that it is the emulator.
    kind = "the emulator, as ComfyUI" if report.system.get("discomfort") else "ComfyUI"
    counts = f"{len(report.of('conforms'))} as ComfyUI {rules.follows}, {len(report.of('differs'))} different"
    counts += f", {len(report.of('skipped'))} skipped, {len(others)} not applicable"
    terminal.note(f"{report.url} ({kind} {version or 'of an unknown version'}): {counts}")


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Area", no_wrap=True)
    for name in STATUSES:
        table.add_column(name, justify="right")
    for area in AREAS:
        found = [result for result in report.results if result.check.area == area]
        if found:
            counts = [sum(result.status == status for result in found) for status in STATUSES]
            styled = zip(counts, ("green", "bold red", "yellow", "dim"), strict=True)
            table.add_row(area, *(Text(str(count), style=style if count else "dim") for count, style in styled))
    return table


def _chosen(only: Sequence[str]) -> list[Check]:
    found = all_checks(only)
    if not found:
        raise UsageError(f"--only {' '.join(only)}: no check has this name; --list shows all names")
    return found
