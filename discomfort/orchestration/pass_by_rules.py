"""Pass-by rules: which types travel by value and which by reference, from ``pass_by_rules.json``."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from discomfort.config_files import RULES_ENV, chosen_file, nearest_known, read_object
from discomfort.exceptions import ConfigurationError
from discomfort.workflow.pass_by import BUILT_IN_RULES, CHOICES

RULES_NAME = "pass_by_rules.json"

_log = logging.getLogger("discomfort.tools")


def load_pass_by_rules(path: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """The built-in rules, overridden by those of a file: an object of ``val``, ``ref`` or ``auto`` by type name.

    The file is ``path``, else ``$DISCOMFORT_PASS_BY_RULES``, else ``pass_by_rules.json`` in the working directory or in
    the folder of a cloned repository; without one, the built-in rules count. It may have comments. Case is ignored in
    the names of types.

    Raises FileNotFoundError for a named file that is missing, ConfigurationError for one that is wrong.
    """
    file = chosen_file(path, RULES_ENV, RULES_NAME)
    if file is None:
        return dict(BUILT_IN_RULES)
    rules = _checked(read_object(file, RULES_NAME), file)
    _log.info("pass-by rules: %s", file)
    return {**BUILT_IN_RULES, **rules}


def _checked(found: dict[str, object], file: Path) -> dict[str, str]:
    rules: dict[str, str] = {}
    for name, value in found.items():
        kind = name.strip().upper()
        if not kind:
            raise ConfigurationError("is not the name of a type", key="(empty)", value=value, source=str(file))
        if not isinstance(value, str) or value.strip().lower() not in CHOICES:
            known = nearest_known(str(value), CHOICES)
            problem = f"must be 'val', 'ref' or 'auto'{known if isinstance(value, str) else ''}"
            raise ConfigurationError(problem, key=name, value=value, source=str(file))
        if rules.setdefault(kind, value.strip().lower()) != value.strip().lower():
            raise ConfigurationError("has two rules", key=kind, value=value, source=str(file))
    return rules
