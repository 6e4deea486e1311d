"""The whole error tree.

::

    DiscomfortError
    ├── ConfigurationError          ValueError        wrong setting or configuration file, missing engine
    ├── PayloadError                ValueError        the payload is neither a workflow nor a prompt
    │   ├── UnsafePromptError                         the server would crash, or fail without a reason
    │   ├── MissingNodesError                         the server lacks node types
    │   ├── PaidNodesError                            nodes cost money, and the call does not allow it
    │   ├── BrokenLinksError                          inputs are linked to nodes or links that do not exist
    │   ├── WorkflowCycleError                        links of a workflow run in a circle
    │   ├── PortError                                 ports of workflows contradict each other, or lack a value
    │   ├── InputSelectorError                        ``set("KSampler.seed", 1)`` matches no input, or several
    │   └── CallError               TypeError         a workflow was called with values that it does not take
    ├── ArgumentError               TypeError         another argument of a call is of a wrong type, or out of range
    │                               ValueError
    ├── UnknownPortError            KeyError          no port has this id
    ├── UploadError                 ValueError        a destination that is not allowed
    ├── SweepError                  ValueError        a grid or table of values that cannot be used
    ├── DiskFullError               OSError           no space left for an upload, an output or a value
    │   └── StorageFullError        MemoryError       neither memory nor disk has room for a value
    ├── UnsupportedValueError       TypeError         a value of a kind that cannot be stored
    ├── DamagedDataError            ValueError        stored data that is not a value
    ├── ConversionError             RuntimeError      the frontend could not convert the workflow
    │   └── ConversionTimeout       TimeoutError
    ├── BrowserError                RuntimeError      no Chromium, or one that does not work
    ├── StateError                  RuntimeError      the state of a connector or context does not allow the call
    │   └── FolderInUseError                          another sweep has this folder
    ├── ServerError                 RuntimeError      a problem with the server process or its answers
    │   ├── ServerStartError
    │   │   └── ServerStartTimeout  TimeoutError
    │   ├── ServerDiedError
    │   │   ├── FatalPromptError                      it died each time this prompt ran
    │   │   └── RestartLimitError                     it died too often to be restarted
    │   ├── ServerConnectionError   ConnectionError
    │   └── ServerResponseError
    ├── ProvideError                RuntimeError      what a plan needs could not be fetched or installed
    │   ├── ConsentError            PermissionError   nothing was fetched, since nobody agreed to it
    │   ├── DownloadError                             a file could not be fetched
    │   │   ├── DownloadRefusedError  PermissionError the server wants a token, or a licence to be accepted
    │   │   ├── DownloadStalledError  TimeoutError    too few bytes arrived for too long
    │   │   └── DamagedDownloadError  ValueError      other bytes than the plan says
    │   ├── FileConflictError       FileExistsError   another file has that name
    │   └── PackInstallError                          a node pack could not be installed
    ├── SelfTestError               RuntimeError      the server runs, but the self-test workflow fails
    ├── PoolError                   RuntimeError      a pool cannot take a run
    │   ├── PoolBusy                                  too many runs wait already
    │   └── NoServerFits                              none of its servers may have the run
    └── RunError                    RuntimeError      a prompt failed
        ├── ValidationError         ValueError        the server refused the prompt, or a part of it
        ├── ExecutionError                            a node raised
        │   └── OutOfMemoryError
        ├── ExecutionInterrupted                      somebody interrupted it
        ├── PromptLostError                           it left the queue without a history record
        │   └── ResultLostError                       it ended, but its record was lost with the server
        ├── RunLostError                              the server of a pool died after the run had begun
        └── RunTimeout              TimeoutError      the caller's timeout passed

Every error has its facts as fields. The text is built from them: the end of a log first, then the problem, then the
remedy, if there is one.
A missing source file raises the builtin ``FileNotFoundError``, an existing target ``FileExistsError``.
"""

# Longer than 400 lines: the error tree is read as one, and each class is a few lines.

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENOSPC
from typing import Any

from ._error_text import (
    OUT_OF_MEMORY,
    install_command,
    joined,
    log_lines,
    nearest,
    packs_remedy,
    place,
    story,
)
from ._pickling import PortableError
from .redaction import redact


@dataclass(frozen=True, slots=True)
class WorkflowPlace:
    """Which workflow of a call of ``Discomfort.run`` it was: ``index`` in the list, from 0, and its file's name.

    ``name`` is empty for an object. ``iteration`` counts from 1; it is 0 before the first one.
    """

    index: int
    name: str
    iteration: int

    def __str__(self) -> str:
        named = f"workflows[{self.index}]" + (f" {self.name!r}" if self.name else "")
        return f"{named}, iteration {self.iteration}" if self.iteration else named


class DiscomfortError(PortableError):
    """Base class of all errors raised by this library.

    Each can be pickled, copied, and sent to another process, with its class, its fields, its text and its cause.
    ``workflow`` says which workflow of ``Discomfort.run`` it was; a note of the error has the same as text.
    """

    workflow: WorkflowPlace | None = None


class ConfigurationError(DiscomfortError, ValueError):
    """A setting is wrong, or names something that does not exist.

    ``key`` is the setting as the user would write it, ``value`` its value, ``source`` where it came from. Secrets in
    the value are left out of the text.
    """

    problem: str
    key: str | None
    value: object
    source: str | None
    remedy: str

    def __init__(
        self, problem: str, *, key: str | None = None, value: object = None, source: str | None = None, remedy: str = ""
    ) -> None:
        self.problem, self.key, self.value, self.source, self.remedy = problem, key, value, source, remedy
        where = f" (from {source})" if source else ""
        what = redact(f"{key}={value!r}") + f"{where}: " if key else ""
        super().__init__(f"{what}{problem}" + (f". {remedy}" if remedy else ""))


class PayloadError(DiscomfortError, ValueError):
    """The payload is neither a workflow nor a prompt; the text says what was found and where."""


@dataclass(frozen=True, slots=True)
class GraphProblem:
    """One problem with one node of a graph."""

    node_id: str
    class_type: str | None
    title: str | None
    input_name: str | None
    problem: str

    def __str__(self) -> str:
        return f"{place(self.node_id, self.class_type, self.title, self.input_name)}: {self.problem}"


class UnsafePromptError(PayloadError):
    """The server would accept the prompt and then crash or misbehave, or fail without a reason; it was not sent.

    ``problems`` lists every :class:`GraphProblem` found.
    """

    def __init__(self, problems: Sequence[GraphProblem]) -> None:
        self.problems: tuple[GraphProblem, ...] = tuple(problems)
        super().__init__("the prompt was not sent, ComfyUI cannot run it: " + joined(problems))


@dataclass(frozen=True, slots=True)
class MissingNode:
    """A node type that the server does not know, its nodes, and the pack that the workflow names for it."""

    class_type: str
    node_ids: tuple[str, ...] = ()
    pack: str | None = None

    def __str__(self) -> str:
        nodes = f" (node {joined(self.node_ids, ', ', 5)})" if self.node_ids else ""
        return f"{self.class_type or 'without a name'}{nodes}" + (f" from pack {self.pack!r}" if self.pack else "")

    @property
    def install(self) -> str | None:
        """The command of comfy-cli that installs the pack; ``None`` if the workflow names no such pack."""
        return install_command([self.pack])


class MissingNodesError(PayloadError):
    """The server lacks node types; ``missing`` lists all of them as :class:`MissingNode`."""

    def __init__(self, missing: Sequence[MissingNode], *, remedy: str = "") -> None:
        self.missing: tuple[MissingNode, ...] = tuple(missing)
        self.remedy: str = remedy or packs_remedy([each.pack for each in missing])
        count = f"{len(missing)} node type(s) are not installed on the server"
        super().__init__(f"{count}: {joined(missing)}. {self.remedy}")


@dataclass(frozen=True, slots=True)
class PaidNode:
    """A node that calls a paid service."""

    node_id: str
    class_type: str
    title: str | None = None

    def __str__(self) -> str:
        return place(self.node_id, self.class_type, self.title)


class PaidNodesError(PayloadError):
    """Nodes call paid services, and the call does not allow that; nothing was sent. ``nodes`` lists all of them.

    ``nodes`` is empty if the server has no node definitions, so that nothing tells which nodes cost money, and the call
    gives a key.
    """

    def __init__(self, nodes: Sequence[PaidNode]) -> None:
        self.nodes: tuple[PaidNode, ...] = tuple(nodes)
        self.remedy: str = "Pass allow_paid=True (--allow-paid on the command line) to run them"
        told = f"{len(nodes)} node(s) call paid services: {joined(nodes)}"
        if not nodes:
            told = "a key for paid services was given, and nothing tells which nodes would use it"
        super().__init__(f"the workflow was not sent, {told}. {self.remedy}")


class BrokenLinksError(PayloadError):
    """Inputs of a workflow are linked to links or nodes that it does not have; ``problems`` lists all of them."""

    def __init__(self, problems: Sequence[GraphProblem]) -> None:
        self.problems: tuple[GraphProblem, ...] = tuple(problems)
        super().__init__("the workflow has links that lead nowhere: " + joined(problems))


class WorkflowCycleError(PayloadError):
    """Links of a workflow run in a circle, so no node can be the first. ``node_ids`` are the nodes of one circle."""

    def __init__(self, node_ids: Sequence[str]) -> None:
        self.node_ids: tuple[str, ...] = tuple(node_ids)
        circle = joined([*self.node_ids, *self.node_ids[:1]], " → ")
        super().__init__(f"the links run in a circle: node {circle}. Remove one of these links")


class PortError(PayloadError):
    """Ports contradict each other, or cannot do what they are for; ``problems`` lists every :class:`GraphProblem`."""

    def __init__(self, problem: str, problems: Sequence[GraphProblem] = ()) -> None:
        self.problems: tuple[GraphProblem, ...] = tuple(problems)
        super().__init__(problem + (f": {joined(self.problems)}" if self.problems else ""))


class UnknownPortError(DiscomfortError, KeyError):
    """No port has this id. ``unique_id`` is the given one, ``known`` are those that exist, the nearest first."""

    def __init__(self, unique_id: str, problem: str, known: Sequence[str] = ()) -> None:
        self.unique_id: str = unique_id
        self.known: tuple[str, ...] = tuple(nearest(unique_id, list(known)))
        hint = f". There are: {joined(self.known, ', ')}" if self.known else ". There is none"
        super().__init__(f"{unique_id!r}: {problem}{hint}")

    # KeyError shows the text as Python writes it in source code.
    __str__ = Exception.__str__


class InputSelectorError(PayloadError):
    """A selector like ``KSampler.seed`` matches no input, or more than one.

    ``selector`` is the given selector, ``candidates`` are valid ones (or values) that may be meant, the nearest first.
    """

    selector: str
    problem: str
    candidates: tuple[str, ...]
    remedy: str

    def __init__(self, selector: str, problem: str, candidates: Sequence[str] = (), *, remedy: str = "") -> None:
        self.selector, self.problem, self.candidates, self.remedy = selector, problem, tuple(candidates), remedy
        hint = f". Candidates: {joined(self.candidates, ', ')}" if candidates else ""
        super().__init__(f"{selector!r}: {problem}{hint}" + (f". {remedy}" if remedy else ""))


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """One wrong value of a call: ``name`` is the input, or the selector, for which it was given.

    ``candidates`` are values or names that may be meant, the nearest first.
    """

    name: str
    problem: str
    candidates: tuple[str, ...] = ()

    def __str__(self) -> str:
        hint = f". Nearest: {joined(self.candidates, ', ', 5)}" if self.candidates else ""
        return f"{self.name}: {self.problem}{hint}"


class CallError(PayloadError, TypeError):
    """A workflow was called with values that it does not take; nothing was sent.

    ``function`` is the name of the workflow, ``problems`` lists every :class:`ArgumentProblem`.
    """

    def __init__(self, function: str, problems: Sequence[ArgumentProblem]) -> None:
        self.function: str = function
        self.problems: tuple[ArgumentProblem, ...] = tuple(problems)
        super().__init__(f"{function}() was not called: {joined(self.problems)}")


class ArgumentError(DiscomfortError, TypeError, ValueError):
    """An argument of a call, such as ``timeout``, is of a wrong type or out of range; nothing was sent.

    ``argument`` is its name, ``problem`` says what it must be. For the values of a workflow see :class:`CallError`.
    """

    def __init__(self, argument: str, problem: str) -> None:
        self.argument: str = argument
        self.problem: str = problem
        super().__init__(f"{argument} {problem}")


class UploadError(DiscomfortError, ValueError):
    """The destination of an upload is not allowed: unknown folder type, no model subfolder, or outside its folder."""


class SweepError(DiscomfortError, ValueError):
    """A grid or table of values cannot be used, such as one with a name that is not an input of the workflow.

    ``place`` is where it is: a file and its line, or a name. ``remedy`` says what to do.
    """

    problem: str
    place: str
    remedy: str

    def __init__(self, problem: str, *, place: str = "", remedy: str = "") -> None:
        self.problem, self.place, self.remedy = problem, place, remedy
        super().__init__((f"{place}: " if place else "") + problem + (f". {remedy}" if remedy else ""))


class DiskFullError(DiscomfortError, OSError):
    """A disk has no space left, or the user's share of it is used up.

    ``folder`` is a folder on that disk, ``filename`` the file that could not be written, if it has a name by then.
    ``errno`` is the system's number.
    """

    folder: str
    remedy: str

    # On the class, so that they come before those of OSError, which pickling would lose.
    errno: int | None = ENOSPC
    strerror: str | None = None
    filename: str | None = None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        what: str,
        *,
        filename: str | os.PathLike[str] | None = None,
        number: int = ENOSPC,
        remedy: str = "Free some space there",
    ) -> None:
        self.folder, self.remedy, self.errno, self.strerror = os.fspath(folder), remedy, number, os.strerror(number)
        self.filename = None if filename is None else os.fspath(filename)
        where = f" to {self.filename}" if self.filename else ""
        self.problem: str = f"{self.strerror}: the disk of {self.folder} is full ({what}{where})"
        super().__init__(f"{self.problem}. {remedy}")


class StorageFullError(DiskFullError, MemoryError):
    """Neither the memory that a context may use nor the disk has room for a value. The fields are those of the disk."""


class UnsupportedValueError(DiscomfortError, TypeError):
    """A value, or a part of one, is of a kind that cannot be stored or exported.

    ``place`` is where it is, such as ``value['image'][0]``.
    """

    problem: str
    place: str
    remedy: str

    def __init__(self, problem: str, *, place: str = "value", remedy: str = "") -> None:
        self.problem, self.place, self.remedy = problem, place, remedy
        super().__init__(f"{place}: {problem}" + (f". {remedy}" if remedy else ""))


class DamagedDataError(DiscomfortError, ValueError):
    """Stored data is not what was written: cut off, changed, or removed by another program.

    ``source`` is the file, if it is one.
    """

    problem: str
    source: str | None

    def __init__(self, problem: str, *, source: str | os.PathLike[str] | None = None) -> None:
        self.problem, self.source = problem, None if source is None else os.fspath(source)
        super().__init__(f"{self.source}: {problem}" if self.source else problem)


class ConversionError(DiscomfortError, RuntimeError):
    """The frontend could not convert the workflow. ``attempts`` says how each attempt ended."""

    problem: str
    attempts: tuple[str, ...]

    def __init__(self, problem: str, *, attempts: Sequence[str] = ()) -> None:
        self.problem, self.attempts = problem, tuple(attempts)
        super().__init__(problem + (f" (attempts: {joined(self.attempts)})" if attempts else ""))


class ConversionTimeout(ConversionError, TimeoutError):
    """No conversion attempt finished in time."""


class MissingFrontendError(ConversionError):
    """The server does not serve the frontend, which converts workflows. Prompts run on it all the same."""


class BrowserError(DiscomfortError, RuntimeError):
    """There is no usable Chromium. ``remedy`` names a command to run."""

    problem: str
    remedy: str

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem + (f". {remedy}" if remedy else ""))


class StateError(DiscomfortError, RuntimeError):
    """The state does not allow the call, such as ``run_workflow`` after ``kill_api``, ``save`` after ``shutdown``."""


class FolderInUseError(StateError):
    """Another sweep writes to this folder. ``pid`` is its process, where it is known."""

    folder: str
    pid: int | None

    def __init__(self, folder: str | os.PathLike[str], *, pid: int | None = None) -> None:
        self.folder, self.pid = os.fspath(folder), pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{self.folder}: {who} runs a sweep in this folder. Wait for its end, or choose another folder"
        )


class ServerError(DiscomfortError, RuntimeError):
    """Base class of errors about the server, as a process or through its answers."""


class ServerStartError(ServerError):
    """The server did not start: it exited, or its command could not be run."""

    problem: str
    command: tuple[str, ...]
    exit_code: int | None
    log_tail: tuple[str, ...]
    remedy: str

    def __init__(
        self,
        problem: str,
        *,
        command: Sequence[str] = (),
        exit_code: int | None = None,
        log_tail: Sequence[str] = (),
        remedy: str = "",
    ) -> None:
        self.problem, self.command, self.exit_code = problem, tuple(command), exit_code
        self.log_tail, self.remedy = tuple(log_tail), remedy
        super().__init__(log_lines(self.log_tail) + problem + (f". {remedy}" if remedy else ""))


class ServerStartTimeout(ServerStartError, TimeoutError):
    """The server process lives, but did not answer HTTP within the start budget."""


class ServerDiedError(ServerError):
    """An owned server exited, or a server's execution thread ended, while it was needed.

    ``exit_code`` is the process's (``None`` if it still runs without its execution thread), ``signal`` the name of the
    signal that ended it, if any, ``log_tail`` the last lines of its log, ``remedy`` what helps, if the signal says it.
    """

    problem: str
    exit_code: int | None
    signal: str | None
    log_tail: tuple[str, ...]
    prompt_id: str | None

    def __init__(
        self,
        problem: str,
        *,
        exit_code: int | None = None,
        signal: str | None = None,
        log_tail: Sequence[str] = (),
        prompt_id: str | None = None,
    ) -> None:
        self.problem, self.exit_code, self.signal = problem, exit_code, signal
        self.log_tail, self.prompt_id = tuple(log_tail), prompt_id
        self.remedy = OUT_OF_MEMORY if signal == "SIGKILL" else ""
        # A problem of several lines ends with those of a log.
        gap = "\n" if "\n" in problem else ". "
        super().__init__(log_lines(self.log_tail) + problem + (gap + self.remedy if self.remedy else ""))


class _ServerGivenUp(ServerDiedError):
    """A server that died more than once.

    ``deaths`` has the error of each death and of each failed start in between, oldest first. ``exit_code``, ``signal``
    and ``log_tail`` are those of the last one.
    """

    problem: str
    log_tail: tuple[str, ...]

    def __init__(self, problem: str, deaths: Sequence[DiscomfortError], *, prompt_id: str | None = None) -> None:
        self.deaths: tuple[DiscomfortError, ...] = tuple(deaths)
        last = self.deaths[-1] if self.deaths else None
        code, signal = getattr(last, "exit_code", None), getattr(last, "signal", None)
        super().__init__(problem + story(self.deaths), exit_code=code, signal=signal, prompt_id=prompt_id)
        self.problem, self.log_tail = problem, tuple(getattr(last, "log_tail", ()))


class FatalPromptError(_ServerGivenUp):
    """The server died more than once while this prompt ran; it is not submitted again. ``deaths`` has each death."""


class RestartLimitError(_ServerGivenUp):
    """The server died more often than ``max_restarts`` allows; for now it is not restarted automatically.

    ``deaths`` has each death, and each failed start in between.
    """


class ServerConnectionError(ServerError, ConnectionError):
    """The server cannot be reached, or the connection broke; ``url`` is its address."""

    problem: str
    url: str

    def __init__(self, problem: str, *, url: str) -> None:
        self.problem, self.url = problem, url
        super().__init__(f"{url}: {problem}")


class ServerResponseError(ServerError):
    """The server's answer was not expected: ``status`` and ``body`` (shortened)."""

    problem: str
    method: str
    url: str
    status: int
    body: str

    def __init__(self, problem: str, *, method: str, url: str, status: int, body: str = "") -> None:
        self.problem, self.method, self.url, self.status, self.body = problem, method, url, status, body[:2000]
        super().__init__(f"{method} {url} answered {status}: {problem}" + (f": {self.body[:300]}" if body else ""))


class SelfTestError(DiscomfortError, RuntimeError):
    """The self-test workflow failed in conversion, execution or result; ``__cause__`` is the reason."""


class PoolError(DiscomfortError, RuntimeError):
    """A pool cannot take a run."""


class PoolBusy(PoolError):
    """As many runs wait as may wait, in the whole pool or of one tenant; ``tenant`` is empty for the pool.

    ``retry_after`` is in seconds: by then the pool expects to have room.
    """

    def __init__(self, waiting: int, *, tenant: str = "", retry_after: float) -> None:
        self.waiting, self.tenant, self.retry_after = waiting, tenant, retry_after
        of = f" of the tenant {tenant!r}" if tenant else ""
        super().__init__(f"{waiting} runs{of} wait already. Try again in {retry_after:.3g} s")


class NoServerFits(PoolError):
    """No server of a pool may have a run. ``reasons`` has what is wrong with each of them, by the server's name."""

    def __init__(self, reasons: Mapping[str, Sequence[str]]) -> None:
        self.reasons: Mapping[str, tuple[str, ...]] = {name: tuple(each) for name, each in reasons.items()}
        told = joined([f"{name} {', '.join(each)}" for name, each in self.reasons.items()], "; ", 10)
        super().__init__(f"no server of the pool fits: {told or 'it has none'}")


class ProvideError(DiscomfortError, RuntimeError):
    """What a plan needs could not be provided, or a part of it.

    ``failures`` has the error of each part, ``report`` the :class:`ProvideReport` of all of them, if there is one.
    """

    problem: str
    remedy: str

    def __init__(
        self, problem: str, *, failures: Sequence[DiscomfortError] = (), report: Any = None, remedy: str = ""
    ) -> None:
        self.problem, self.remedy, self.report = problem, remedy, report
        self.failures: tuple[DiscomfortError, ...] = tuple(failures)
        told = f": {joined(self.failures)}" if self.failures else ""
        super().__init__(problem + told + (f". {remedy}" if remedy else ""))


class ConsentError(ProvideError, PermissionError):
    """Nothing was fetched or installed, since nobody agreed. ``proposal`` says what would have been done."""

    def __init__(self, problem: str, *, proposal: Any = None, remedy: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.proposal = proposal


class DownloadError(ProvideError):
    """A file could not be fetched. ``name`` is the file, ``url`` its address without query, ``status`` that of HTTP."""

    name: str
    url: str
    status: int | None

    def __init__(self, problem: str, *, name: str, url: str = "", status: int | None = None, remedy: str = "") -> None:
        self.name, self.url, self.status = name, url, status
        super().__init__(f"{name}: {problem}" + (f" ({url})" if url else ""), remedy=remedy)
        self.problem = problem


class DownloadRefusedError(DownloadError, PermissionError):
    """The server refuses the file: it wants a token, or a licence to be accepted first. ``remedy`` says where."""


class DownloadStalledError(DownloadError, TimeoutError):
    """Too few bytes arrived for too long, or the time for the download was over. What arrived is kept."""


class DamagedDownloadError(DownloadError, ValueError):
    """The bytes that arrived are not those that the plan names: another size or hash. They are removed."""


class FileConflictError(ProvideError, FileExistsError):
    """Another file has the name already, and is left as it is. ``path`` is that file."""

    def __init__(self, problem: str, *, path: str | os.PathLike[str], remedy: str = "") -> None:
        self.path: str = os.fspath(path)
        super().__init__(f"{self.path}: {problem}", remedy=remedy)
        self.problem = problem


class PackInstallError(ProvideError):
    """A node pack could not be installed. ``pack`` is its name, ``log_tail`` the end of what the installer said."""

    pack: str
    log_tail: tuple[str, ...]

    def __init__(self, problem: str, *, pack: str, log_tail: Sequence[str] = (), remedy: str = "") -> None:
        self.pack, self.log_tail = pack, tuple(log_tail)
        super().__init__(f"{log_lines(self.log_tail)}{pack}: {problem}", remedy=remedy)
        self.problem = problem


class RunError(DiscomfortError, RuntimeError):
    """A prompt failed. ``prompt_id`` is its id, ``history`` its record, if there is one."""

    problem: str
    prompt_id: str | None

    def __init__(self, problem: str, *, prompt_id: str | None = None, history: Mapping[str, Any] | None = None) -> None:
        self.problem, self.prompt_id = problem, prompt_id
        self.history: Mapping[str, Any] = history or {}
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One input that the server's validation refused.

    ``type`` and ``message`` are ComfyUI's; ``received`` is the given value (``None`` if there is none), ``allowed`` are
    the values of a list, ``minimum`` and ``maximum`` the limits of a range, if they apply. ``remedy`` says what helps.
    """

    node_id: str
    class_type: str | None
    title: str | None
    input_name: str | None
    type: str
    message: str
    details: str = ""
    received: Any = None
    allowed: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{place(self.node_id, self.class_type, self.title, self.input_name or None)}: {self.message}"
        if self.received is not None:
            text += f", given {str(self.received)[:200]!r}"
        if self.allowed is not None:
            allowed = nearest(str(self.received), [str(each) for each in self.allowed])
            text += f", allowed: {joined(allowed, ', ', 15) or '(nothing: the list is empty)'}"
        elif self.minimum is not None or self.maximum is not None:
            text += f", allowed: {self.minimum} to {self.maximum}"
        elif self.details and self.details != self.input_name:
            text += f" ({self.details[:300]})"
        return text


class ValidationError(RunError, ValueError):
    """The server refused the prompt, or dropped some of its outputs.

    ``problems`` lists every :class:`InputProblem`; ``error`` and ``node_errors`` are the server's own objects.
    ``remedy`` joins those of the problems, unless it is given.
    """

    def __init__(
        self,
        problem: str,
        problems: Sequence[InputProblem] = (),
        *,
        prompt_id: str | None = None,
        error: Mapping[str, Any] | None = None,
        node_errors: Mapping[str, Any] | None = None,
        remedy: str = "",
    ) -> None:
        self.problems: tuple[InputProblem, ...] = tuple(problems)
        self.error: Mapping[str, Any] = error or {}
        self.node_errors: Mapping[str, Any] = node_errors or {}
        told = dict.fromkeys(each.remedy for each in self.problems if each.remedy)
        self.remedy: str = remedy or " ".join(told)
        lines = joined(problems)
        text = f"{problem}: {lines}" if lines else problem
        super().__init__(f"{text}. {self.remedy}" if self.remedy else text, prompt_id=prompt_id)


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """A node that raised, as the server reports it: the fields of ComfyUI's ``execution_error`` message."""

    node_id: str
    class_type: str
    title: str | None
    exception_type: str
    exception_message: str
    traceback: tuple[str, ...] = field(default=(), repr=False)


class ExecutionError(RunError):
    """A node raised an exception. ``failure`` describes it; its fields are also attributes of this error.

    ``problem`` is the text without the server's traceback.
    """

    node_id: str
    class_type: str
    title: str | None
    exception_type: str
    exception_message: str

    def __init__(
        self, failure: NodeFailure, *, prompt_id: str | None = None, history: Mapping[str, Any] | None = None
    ) -> None:
        self.failure = failure
        self.node_id, self.class_type, self.title = failure.node_id, failure.class_type, failure.title
        self.exception_type, self.exception_message = failure.exception_type, failure.exception_message
        self.traceback: tuple[str, ...] = failure.traceback
        name = failure.title or failure.class_type
        kind = f" ({failure.class_type})" if failure.class_type != name else ""
        problem = f"node {failure.node_id} {name!r}{kind} raised {failure.exception_type}: "
        problem += failure.exception_message.strip()[:2000]
        traceback = "".join(failure.traceback)[-4000:].rstrip()
        text = f"server traceback:\n{traceback}\n{problem}" if traceback else problem
        super().__init__(text, prompt_id=prompt_id, history=history)
        self.problem = problem


class OutOfMemoryError(ExecutionError):
    """A node ran out of device or host memory."""


class ExecutionInterrupted(RunError):
    """Somebody other than the caller interrupted the run. ``node_id`` is the node that ran, if the server named it."""

    node_id: str | None
    class_type: str | None

    def __init__(
        self,
        problem: str,
        *,
        prompt_id: str | None = None,
        node_id: str | None = None,
        class_type: str | None = None,
        history: Mapping[str, Any] | None = None,
    ) -> None:
        self.node_id, self.class_type = node_id, class_type
        super().__init__(problem, prompt_id=prompt_id, history=history)


class PromptLostError(RunError):
    """The prompt is neither queued nor in the history: it was deleted or evicted, or the server was restarted."""


class ResultLostError(PromptLostError):
    """The prompt ended, or may have, and the server died before its record was read; it is not executed again.

    Files that it saved to the output folder exist. The server's death is ``__cause__``.
    """


class RunLostError(RunError):
    """A pool's server died, or fell silent, after a run had begun there; it was not begun again.

    ``started``: whether it is known that the run had begun; otherwise it may have. ``server`` is the server's name,
    ``last_event`` the kind of the last event of the run, ``death`` why the server is lost.
    """

    def __init__(
        self,
        problem: str,
        *,
        started: bool,
        server: str,
        last_event: str = "",
        death: DiscomfortError | None = None,
        prompt_id: str | None = None,
    ) -> None:
        self.started, self.server, self.last_event, self.death = started, server, last_event, death
        self.remedy = "Let the pool begin it again, if that does no harm: retry=Retry(times=1)"
        super().__init__(f"{problem}. {self.remedy}", prompt_id=prompt_id)
        self.problem = problem


class RunTimeout(RunError, TimeoutError):
    """The caller's ``timeout`` passed; the prompt was taken off the queue or interrupted. ``timeout`` is in seconds."""

    def __init__(self, problem: str, *, timeout: float, prompt_id: str | None = None) -> None:
        self.timeout = timeout
        super().__init__(problem, prompt_id=prompt_id)
