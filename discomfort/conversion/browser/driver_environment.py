"""Environment variables for Playwright's driver alone, by a patch of a name that Playwright keeps private.

Playwright has no parameter for the driver's environment, and changing ``os.environ`` would leak into whatever the
process starts at the same time. The function that makes that environment is therefore replaced by one that adds the
variables of the current context: other users of Playwright in this process see no difference.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

_log = logging.getLogger("discomfort.conversion")

FUNCTION: Final = "get_driver_env"
"""Playwright's name for that function."""

PRIVATE: Final = "playwright._impl."
"""Where it is, under a module's name that has changed once: each module that has the function is patched."""

_variables: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar(
    "discomfort_driver_environment", default=None
)


@contextlib.contextmanager
def driver_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Give a driver that is started in the block these variables beside ours.

    They are left out where this Playwright lacks the name. Playwright must be imported by now.
    """
    if not patch():
        _log.debug("this Playwright's temporary files stay in the system's folder")
    token = _variables.set(variables)
    try:
        yield
    finally:
        _variables.reset(token)


def patch() -> bool:
    """Let the variables reach the driver, in each module that has the function; whether one has it."""
    done = False
    # Copied at once: other threads import modules meanwhile.
    for name, module in sys.modules.copy().items():
        original = getattr(module, FUNCTION, None) if name.startswith(PRIVATE) else None
        if original is None:
            continue
        done = True
        if not getattr(original, "discomfort", False):
            setattr(module, FUNCTION, _with_variables(original))
    return done


def _with_variables(original: Callable[[], dict[str, str]]) -> Callable[[], dict[str, str]]:
    def with_variables() -> dict[str, str]:
        return original() | dict(_variables.get() or {})

    with_variables.discomfort = True  # type: ignore[attr-defined]
    return with_variables
