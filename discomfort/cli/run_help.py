"""``discomfort run WORKFLOW --help``: the inputs of the workflow as options."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from discomfort.cli.batch import Batch, Job
from discomfort.cli.connect import ServerTarget, read_target
from discomfort.cli.exit_codes import USAGE
from discomfort.cli.inputs import Source, read_sources
from discomfort.cli.interface_command import INTERFACE_LOGGER, load
from discomfort.cli.named_options import OwnOptions, as_word, option_name, split_arguments
from discomfort.cli.pool_choice import read_pool
from discomfort.cli.report import Result
from discomfort.cli.terminal import Terminal, clean
from discomfort.exceptions import DiscomfortError
from discomfort.workflow.interface.annotations import can_be_keyword, file_alias, scalar_types
from discomfort.workflow.interface.declarations import Parameter
from discomfort.workflow.interface.interface_text import one_line_of, range_shown, shortened
from discomfort.workflow.interface.parameters import Interface

if TYPE_CHECKING:
    from pathlib import Path

    from discomfort.connector import ComfyConnector

_HELP = ("-h", "--help")
_REST = "discomfort run --help shows the other options, such as --output and --attach."
_WIDEST = 34
"""Columns of an option, before its description goes to the next line."""
_MOST_CHOICES = 20


def own_options(command: Any) -> OwnOptions:
    """The options that ``command``, that of ``discomfort run``, has itself."""
    params = [each for each in command.params if each.param_type_name == "option"]
    flags = [name for each in params if each.is_flag or each.count for name in (*each.opts, *each.secondary_opts)]
    names = [name for each in params for name in (*each.opts, *each.secondary_opts)]
    return OwnOptions(frozenset(names) | frozenset(_HELP), frozenset(flags) | frozenset(_HELP))


def split_run(app: typer.Typer, arguments: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """The command line of a run without the inputs of its workflow, and those inputs. Raises UsageError."""
    found = split_arguments(arguments, own_options(_command(app)))
    return found.own, found.named


def run_help(app: typer.Typer, arguments: Sequence[str]) -> int | None:
    """Show the inputs of the workflows of a command line, and return the exit code; ``None`` if it is not that."""
    words = list(arguments[: arguments.index("--")]) if "--" in arguments else list(arguments)
    if not any(word in _HELP for word in words):
        return None
    rest = [word for word in arguments[1:] if word not in _HELP]
    command = _command(app)
    given: dict[str, Any] = command.make_context("discomfort run", rest, resilient_parsing=True).params
    if not given.get("workflows"):
        return None
    terminal = Terminal(quiet=bool(given["quiet"]), verbose=int(given["verbose"] or 0))
    try:
        pool = read_pool(given["pool"] or [])
        # One server of a pool says as much of a workflow as all of them.
        attach = pool.urls[0] if pool is not None and pool.urls else given["attach"]
        target = read_target(given["config"], given["engine"], attach, given["header"], given["proxy"])
        sources = read_sources(given["workflows"])
    except (DiscomfortError, OSError, UnicodeError) as error:
        terminal.explain(error)
        return USAGE
    own = own_options(command).names
    code = HelpBatch(sources, target, terminal, given["sidecar"], own).execute()
    terminal.write(f"{_REST}\n")
    return code


class HelpBatch(Batch):
    """Loads each workflow, and shows its inputs as options."""

    hidden_logger = INTERFACE_LOGGER

    def __init__(
        self,
        sources: Sequence[Source],
        target: ServerTarget,
        terminal: Terminal,
        sidecar: Path | None,
        own: frozenset[str],
    ) -> None:
        super().__init__(sources, target, terminal)
        self._sidecar, self._own = sidecar, own

    async def work(self, connector: ComfyConnector, job: Job, result: Result) -> None:
        """Show the help of one workflow."""
        self.display.phase(f"{job.source.label}: loading")
        function = await load(connector, job.source, self._sidecar)
        self.display.close()
        columns = min(shutil.get_terminal_size().columns, 120)
        self.terminal.write(clean(inputs_help(function.interface, job.source.name, self._own, columns)) + "\n")


def inputs_help(interface: Interface, file: str, own: frozenset[str], columns: int = 80) -> str:
    """The inputs as options, and the outputs. An input whose option the command has itself is given by ``--in``."""
    inputs = [(_option(each, own), _meaning(each)) for each in interface.shown]
    outputs = [(one_line_of(each.name), _sentence(each.type, each.description)) for each in interface.outputs.values()]
    lines = [f"Usage: discomfort run {file} [OPTIONS]", "", f"Inputs of {file}:"]
    lines += _rows(inputs, columns) or ["  none: --set NODE.INPUT=VALUE sets any input"]
    lines += ["", "Outputs:", *(_rows(outputs, columns) or ["  none"]), ""]
    if interface.problems:
        lines += ["Problems:", *(f"  {one_line_of(str(problem))}" for problem in interface.problems), ""]
    return "\n".join(lines)


def _option(parameter: Parameter, own: frozenset[str]) -> str:
    name = one_line_of(parameter.name)
    kinds = scalar_types(parameter)
    option = option_name(name)
    if option in own or not can_be_keyword(parameter.name):
        return f"--in {name}={_value(parameter)}"
    if kinds == (bool,) and not parameter.choices:
        return f"{option}, --no-{option.removeprefix('--')}"
    return f"{option} {_value(parameter)}"


def _value(parameter: Parameter) -> str:
    kinds = scalar_types(parameter)
    if file_alias(parameter) is not None:
        return "FILE"
    if parameter.choices:
        return "CHOICE"
    if int in kinds or float in kinds:
        return range_shown(parameter) or ("NUMBER" if float in kinds else "INTEGER")
    return "TEXT" if str in kinds else "VALUE"


def _meaning(parameter: Parameter) -> str:
    told = parameter.description or ("" if parameter.label == parameter.name else parameter.label)
    kind = parameter.type if file_alias(parameter) is not None or not scalar_types(parameter) else ""
    if parameter.choices and file_alias(parameter) is None:
        few = [shortened(as_word(choice), 60) for choice in parameter.choices[:_MOST_CHOICES]]
        more = len(parameter.choices) - len(few)
        kind = "One of: " + ", ".join(few) + (f", and {more} more" if more else "")
    default = "[required]" if parameter.is_required else ""
    if not parameter.is_required and parameter.default is not None:
        default = f"[default: {shortened(as_word(parameter.default), 60)}]"
    return f"{_sentence(told, kind)} {default}".strip()


def _sentence(*texts: str) -> str:
    cleaned = [one_line_of(text) for text in texts if text]
    return " ".join(text if text.endswith((".", "!", "?", "…")) else f"{text}." for text in cleaned)


def _rows(rows: Sequence[tuple[str, str]], columns: int) -> list[str]:
    """Options and their meanings in two columns."""
    lines = []
    width = min(max((len(first) for first, _ in rows), default=0), _WIDEST)
    indent = " " * (width + 4)
    for first, second in rows:
        start = f"  {first.ljust(width)}  "
        if len(first) > width:
            lines.append(start.rstrip())
            start = indent
        wrapped = textwrap.wrap(second, max(columns - 1, width + 24), initial_indent=start, subsequent_indent=indent)
        lines += wrapped or [start.rstrip()]
    return lines


def _command(app: typer.Typer) -> Any:
    import typer.main

    group: Any = typer.main.get_command(app)
    return group.commands["run"]
