"""Checks of the arguments that calls share, before anything is done. All raise ArgumentError."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from numbers import Real

from discomfort.config import is_visible
from discomfort.exceptions import ArgumentError
from discomfort.workflow.json_values import describe


def check_timeout(timeout: object) -> None:
    """Seconds from 0 on, or ``None``."""
    if timeout is None:
        return
    if not isinstance(timeout, Real) or isinstance(timeout, bool):
        raise ArgumentError("timeout", f"must be a number of seconds or None, not {describe(timeout)}")
    if math.isnan(timeout) or timeout < 0:
        raise ArgumentError("timeout", f"must be a number of seconds from 0 on, not {timeout}")


def check_callback(on_progress: object) -> None:
    """A function, or ``None``."""
    if on_progress is not None and not callable(on_progress):
        raise ArgumentError("on_progress", f"must be a function that takes an event, not {describe(on_progress)}")


def check_allow_paid(allow_paid: object) -> None:
    """``True``, ``False`` or ``None``: a text such as "no" must not spend money."""
    if allow_paid is not None and not isinstance(allow_paid, bool):
        raise ArgumentError("allow_paid", f"must be True, False or None, not {describe(allow_paid)}")


def check_flag(argument: str, value: object) -> None:
    """``True`` or ``False``."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, f"must be True or False, not {describe(value)}")


def check_api_key(api_key: object) -> None:
    """A text that can be a header; the error does not show it."""
    if api_key is not None and not is_visible(api_key):
        raise ArgumentError("api_key", "must be visible characters without spaces")


def check_mapping(argument: str, value: object, of: str) -> None:
    """A mapping, or ``None``."""
    if value is not None and not isinstance(value, Mapping):
        raise ArgumentError(argument, f"must be a mapping of {of}, not {describe(value)}")


def check_text(argument: str, value: object) -> None:
    """A text, or ``None``."""
    if value is not None and not isinstance(value, str):
        raise ArgumentError(argument, f"must be a text, not {describe(value)}")


def check_sidecar(interface: object) -> None:
    """A sidecar, its path, or ``None``."""
    if interface is not None and not isinstance(interface, Mapping | str | os.PathLike):
        raise ArgumentError("interface", f"must be a mapping, or the path of a sidecar, not {describe(interface)}")
