"""The arguments of a pool and of its runs, checked before anything is done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from discomfort.connector.argument_checks import check_allow_paid, check_api_key, check_mapping, check_timeout
from discomfort.exceptions import ArgumentError
from discomfort.pool.pool_workflows import PreparedCall
from discomfort.pool.retry import Retry
from discomfort.pool.run_requests import PoolRequest
from discomfort.pool.run_state import SubmitOptions
from discomfort.pool.scheduler import Policy
from discomfort.pool.server_classes import Requirement, labels_of

if TYPE_CHECKING:
    from discomfort.connector.file_upload import UploadContent

_LONGEST_NAME = 200
_MOST_GIGABYTES = 1e6


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Limits, tenants and times of a pool.

    ``policy`` has the weights of tenants, how they share servers, and the longest wait. At most ``max_waiting`` runs
    wait, of one tenant ``max_waiting_per_tenant``. A server that has not answered for ``silent_after`` seconds while it
    has a run is ended if it is owned; its run is lost.
    """

    policy: Policy = field(default_factory=Policy)
    max_waiting: int = 10_000
    max_waiting_per_tenant: int | None = None
    silent_after: float = 300.0

    def __post_init__(self) -> None:
        check_count("max_waiting", self.max_waiting)
        if self.max_waiting_per_tenant is not None:
            check_count("max_waiting_per_tenant", self.max_waiting_per_tenant)
        check_timeout(self.silent_after)


class SubmitArguments(TypedDict, total=False):
    """What :meth:`ComfyPool.submit` takes beside workflow and values; it describes them."""

    files: Mapping[str, UploadContent] | None
    tenant: str
    priority: int
    timeout: float | None
    retry: Retry
    labels: Mapping[str, str] | None
    vram_gb: float | None
    tags: Mapping[str, str] | None
    save_to: str | os.PathLike[str] | None
    interface: Mapping[str, Any] | str | os.PathLike[str] | None
    extra_data: Mapping[str, Any] | None
    allow_paid: bool | None
    api_key: str | None


def check_count(argument: str, value: object) -> None:
    """A whole number from 1 on. Raises ArgumentError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(argument, f"must be a whole number from 1 on, not {value!r}")


def merged_arguments(values: Mapping[str, Any] | None, arguments: SubmitArguments) -> dict[str, Any]:
    """All values of a call, files included. Raises ArgumentError if one is given twice."""
    check_mapping("values", values, "names and values")
    files = arguments.get("files")
    check_mapping("files", files, "names and files")
    given = dict(values or {})
    for name, content in (files or {}).items():
        if name in given:
            raise ArgumentError("files", f"has {name!r}, which values has too")
        given[name] = content
    return given


def run_options(arguments: SubmitArguments) -> SubmitOptions:
    """Options of a run. Raises ArgumentError."""
    timeout, retry, tags = arguments.get("timeout"), arguments.get("retry", Retry.never), arguments.get("tags")
    check_timeout(timeout)
    check_allow_paid(arguments.get("allow_paid"))
    check_api_key(arguments.get("api_key"))
    _check_texts("tags", tags)
    if not isinstance(retry, Retry):
        raise ArgumentError("retry", f"must be Retry(times=…) or Retry.never, not {retry!r}")
    folder = arguments.get("save_to")
    return SubmitOptions(
        timeout=timeout, retry=retry, tags=dict(tags or {}), folder=None if folder is None else Path(folder),
        allow_paid=arguments.get("allow_paid"), api_key=arguments.get("api_key"),
    )  # fmt: skip


def request_of(run_id: str, at: float, call: PreparedCall, arguments: SubmitArguments) -> PoolRequest:
    """What the scheduler knows of a call. Raises ArgumentError."""
    priority = arguments.get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise ArgumentError("priority", f"must be a whole number, not {priority!r}")
    models = call.all_models
    return PoolRequest(
        id=run_id,
        at=at,
        tenant=tenant_of(arguments),
        models=models,
        skeleton=call.skeleton,
        priority=priority,
        requirement=Requirement(
            labels=_labels(arguments.get("labels")),
            vram=_bytes(arguments.get("vram_gb")),
            definitions=call.groups,
            models=frozenset(str(model) for model in models),
        ),
    )


def tenant_of(arguments: SubmitArguments) -> str:
    """Whose run it is. Raises ArgumentError."""
    tenant = arguments.get("tenant", "default")
    if not isinstance(tenant, str) or not tenant or len(tenant) > _LONGEST_NAME or not tenant.isprintable():
        raise ArgumentError("tenant", f"must be a name of 1 to {_LONGEST_NAME} visible characters, not {tenant!r}")
    return tenant


def _labels(labels: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    _check_texts("labels", labels)
    return labels_of(labels or {})


def _bytes(gigabytes: object) -> int:
    if gigabytes is None:
        return 0
    if not isinstance(gigabytes, int | float) or isinstance(gigabytes, bool) or not 0 <= gigabytes < _MOST_GIGABYTES:
        raise ArgumentError("vram_gb", f"must be a number of gigabytes from 0 on, not {gigabytes!r}")
    return int(gigabytes * 1e9)


def _check_texts(argument: str, value: object) -> None:
    check_mapping(argument, value, "names and texts")
    if isinstance(value, Mapping) and not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise ArgumentError(argument, "must have names and texts only")
