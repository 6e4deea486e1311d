"""Settings of a connector: arguments > environment > JSON file > defaults.

The file is the documented JSON object (``API_COMMAND_LINE``, ``INITIAL_PORT`` …); case is ignored in its keys, and it
may have comments. An environment variable is the key with the prefix ``DISCOMFORT_``
(``DISCOMFORT_INITIAL_PORT=8288``). ``None`` means the same as an absent key: not configured. Relative paths are
relative to the working directory.
"""

# Longer than 400 lines: each setting has its description, its type and its check here.

from __future__ import annotations

import difflib
import logging
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypedDict, Unpack

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)

from discomfort import _json, config_files
from discomfort.exceptions import ConfigurationError
from discomfort.redaction import STARS, redact_words

_log = logging.getLogger("discomfort.config")

ENV_PREFIX = "DISCOMFORT_"
CONFIG_ENV = "DISCOMFORT_CONFIG"
DEFAULT_CONFIG_NAME = "comfy_serverless.json"
DEFAULT_TEST_PAYLOAD = "test_server.json"
KEY_VARIABLE = "DISCOMFORT_API_KEY"
_FILES = frozenset({CONFIG_ENV, config_files.CONTEXT_CONFIG_ENV, config_files.RULES_ENV})
"""Variables that name configuration files."""
_SECRET = frozenset({"environment", "token", "api_key"})
"""Settings whose values are shown nowhere."""
_OF_NODES = frozenset({"DISCOMFORT_VALUES_GB", "DISCOMFORT_LARGEST_VALUE_GB", "DISCOMFORT_VALUES_HOURS"})
"""Variables that the nodes read in a server's process."""
_MARKS = frozenset({"DISCOMFORT_SERVER_TOKEN", "DISCOMFORT_SERVER_OWNER", "DISCOMFORT_CONTEXTS"})
"""Variables that a connector sets for server processes."""


def _not_bool(value: object) -> object:
    # pydantic would take JSON true for port 1.
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 - pydantic collects ValueError only
    return value


_Int = Annotated[int, BeforeValidator(_not_bool)]
_Float = Annotated[float, BeforeValidator(_not_bool)]
_Path = str | os.PathLike[str] | None


class Settings(BaseModel):
    """One connector's configuration, checked. ``None`` for a path or command means: find it.

    Attributes:
        api_command_line: command that starts the server, split with shlex, never passed to a shell (default:
            ``python3 main.py`` if a ComfyUI was found).
        api_working_directory: the folder in which it starts (default: the ComfyUI folder).
        server_arguments: further arguments for the server, such as ``--cpu --lowvram``: a text, which is split as a
            shell would, or a list of words. They are appended to the command line that starts it, whichever it is, the
            emulator's too. A port among them is replaced, since the connector chooses it.
        environment: variables for the server, by name, on top of those of this process: an object in the file, and its
            JSON text in ``DISCOMFORT_ENVIRONMENT``. Their values count as secrets: no log, error or report shows them.
        api_url: host to connect to, without port; ``0.0.0.0`` connects through loopback.
        initial_port: the first port to try; the next ones follow upwards.
        test_payload_file: workflow or prompt of the self-test (default: the bundled one).
        max_comfy_start_attempts, comfy_start_attempts_sleep: start budget in seconds, the sum of
            ``sleep * 2**i`` over the attempts, each at most 60 s: 303 s with the defaults.
        start_timeout: start budget in seconds, as one number instead of the two above: the time from the start of the
            server until it answers, another start on the next port included.
        stop_grace: how long, in seconds, the server may take to end after SIGTERM before it gets SIGKILL.
        comfyui_path: the ComfyUI folder.
        engine: ``auto`` uses ComfyUI if found, else the embedded emulator; ``comfyui`` or ``emulator`` forces one.
        browser: ``eager`` launches Chromium beside the server, ``lazy`` at the first conversion that needs it.
        chromium_path: the browser's executable.
        prompt_cache: where converted prompts are kept: ``on`` for the user's cache folder
            (``~/.cache/discomfort/prompts``), ``off``, or a folder (an absolute path, or one that begins with ``./`` or
            ``~``). They are plain text and contain all widget values, such as API keys of cloud nodes.
        native_conversion: whether workflows that differ from known ones only in widget values may be converted without
            the browser: ``on`` (once that was right three times), ``trial`` (compares, but never uses it), ``off``.
        comfyui_python: the interpreter that runs ComfyUI.
        emulator_directory: the emulator's base folder (default: a private one that ``kill_api`` deletes).
        on_server_death: with ``raise``, pending runs raise ServerDiedError, and the next call restarts the server;
            ``restart`` restarts it at once, in the background, whether or not anything was running, which services
            need; ``restart_and_resubmit`` also submits the pending runs again, with the same prompt ids. For owned
            servers only.
        max_restarts: how often the server is restarted automatically within 10 minutes; after that, calls raise
            RestartLimitError until the oldest restart is 10 minutes old, and then the next one happens by itself.
        cancel_restart_after: how long, in seconds, a cancelled node may keep running before the owned server is
            restarted (default: no limit).
        on_out_of_memory: ``raise``, or ``retry_once`` after asking the server to free its memory.
        warm_nodes: how many nodes of references each prompt of ``Discomfort.run`` may carry along, without running
            them, so that the server's cache keeps the models that they loaded; 0 for none.
        exact: on a server without our nodes, let ``Discomfort.run`` refuse values that would change on the way, such as
            pictures, which pass in 8 bits, instead of a warning in the log.
        token: for ``Discomfort.attach``: the value of ``DISCOMFORT_TOKEN`` in the environment of a server that has our
            nodes, 16 to 512 visible characters. With it, values pass as they are. No log, error or report shows it.
        allow_paid: whether calls that do not say it may run nodes that cost money; meant for servers of tests.
        api_key: the key for such nodes, from platform.comfy.org. It is sent only with prompts that have such nodes and
            may run them. No log, error or report shows it, and no file that is written has it.
    """

    # The input of a wrong setting may be a secret, and pydantic's own text shows it.
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_command_line: str | None = None
    api_working_directory: Path | None = None
    server_arguments: tuple[str, ...] = ()
    environment: dict[str, SecretStr] = Field(default_factory=dict)
    api_url: str = "127.0.0.1"
    initial_port: _Int = Field(default=8188, ge=1, le=65535)
    test_payload_file: Path | None = None
    max_comfy_start_attempts: _Int = Field(default=10, ge=1, le=1000)
    comfy_start_attempts_sleep: _Float = Field(default=1.0, gt=0, le=3600, allow_inf_nan=False)
    start_timeout: _Float | None = Field(default=None, gt=0, le=86400, allow_inf_nan=False)
    stop_grace: _Float = Field(default=10.0, ge=0, le=3600, allow_inf_nan=False)
    comfyui_path: Path | None = None
    engine: Literal["auto", "comfyui", "emulator"] = "auto"
    browser: Literal["eager", "lazy"] = "eager"
    chromium_path: Path | None = None
    prompt_cache: Literal["on", "off"] | Path = "on"
    native_conversion: Literal["on", "trial", "off"] = "on"
    comfyui_python: str | None = None
    emulator_directory: Path | None = None
    on_server_death: Literal["raise", "restart", "restart_and_resubmit"] = "raise"
    max_restarts: _Int = Field(default=3, ge=0, le=1000)
    cancel_restart_after: _Float | None = Field(default=None, gt=0, le=86400, allow_inf_nan=False)
    on_out_of_memory: Literal["raise", "retry_once"] = "raise"
    warm_nodes: _Int = Field(default=300, ge=0, le=10_000)
    exact: bool = False
    token: SecretStr | None = None
    allow_paid: bool = False
    api_key: SecretStr | None = None

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def sources(self) -> Mapping[str, str]:
        """The source of each configured value by field name; fields with their default are not listed."""
        return self._sources

    def __eq__(self, other: object) -> bool:
        """Settings are equal if all values are equal, whatever their sources."""
        if not isinstance(other, Settings):
            return NotImplemented
        return self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        values = self.model_dump() | {"environment": frozenset(self.environment.items())}
        return hash(tuple(values.values()))

    @property
    def server_environment(self) -> dict[str, str]:
        """The variables of ``environment`` with their values, which are secrets."""
        return {name: value.get_secret_value() for name, value in self.environment.items()}

    def shown(self, name: str) -> object:
        """The value of a setting for people to read: without secrets, as far as they can be recognised."""
        value = getattr(self, name)
        if isinstance(value, SecretStr):
            return STARS
        if isinstance(value, Mapping):
            return dict.fromkeys(value, STARS)
        if isinstance(value, tuple):
            return redact_words(value)
        return str(value) if isinstance(value, Path) else value

    @property
    def connect_host(self) -> str:
        """The host for URLs: wildcard addresses become loopback, IPv6 gets its brackets."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.api_url, self.api_url)  # noqa: S104 - never bound here
        return f"[{host}]" if ":" in host else host

    @field_validator("prompt_cache", mode="before")
    @classmethod
    def _cache_is_meant(cls, value: object) -> object:
        # A misspelt "on" would otherwise become a folder of that name.
        text = str(value)
        if text in ("on", "off"):
            return text
        if "\0" in text or not (
            isinstance(value, Path) or text.startswith(("/", ".", "~")) or Path(text).is_absolute()
        ):
            raise ValueError("must be 'on', 'off' or a folder (absolute, or beginning with ./ or ~)")
        return Path.cwd() / Path(text).expanduser()

    @field_validator("api_command_line")
    @classmethod
    def _command_splits(cls, value: str | None) -> str | None:
        if value is not None and not shlex.split(value):
            raise ValueError("the command is empty")
        return value

    @field_validator("server_arguments", mode="before")
    @classmethod
    def _arguments_split(cls, value: object) -> object:
        words = shlex.split(value) if isinstance(value, str) else value
        if isinstance(words, list | tuple) and any("\0" in word for word in words if isinstance(word, str)):
            raise ValueError("must not contain a NUL character")
        return words

    @field_validator("environment", mode="before")
    @classmethod
    def _variables(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                value = _json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError("is not JSON; it must be an object, {name: value}") from None
        if not isinstance(value, Mapping):
            raise ValueError(f"must be an object, {{name: value}}, not a {type(value).__name__}")  # noqa: TRY004
        for name, content in value.items():
            problem = _variable_problem(name, content)
            if problem:
                raise ValueError(problem)
        return dict(value)

    @field_validator("token")
    @classmethod
    def _token_can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]{16,512}", value.get_secret_value()):
            raise ValueError("must be 16 to 512 visible characters without spaces")
        return value

    @field_validator("api_key")
    @classmethod
    def _key_can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_visible(value.get_secret_value()):
            raise ValueError("must be visible characters without spaces")
        return value

    @field_validator("api_url")
    @classmethod
    def _host_only(cls, value: str) -> str:
        host = value.strip().removeprefix("http://").rstrip("/").removeprefix("[").removesuffix("]")
        if not host or "/" in host or any(c.isspace() for c in host):
            raise ValueError("must be a host name or address, such as 127.0.0.1")
        if host.count(":") == 1:
            raise ValueError("must be a host without port; the port is INITIAL_PORT")
        return host

    @field_validator(
        "api_working_directory", "comfyui_path", "chromium_path", "emulator_directory", "test_payload_file"
    )
    @classmethod
    def _path_is_sound(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        if "\0" in str(value):
            raise ValueError("must not contain a NUL character")
        return Path.cwd() / value.expanduser()


class SettingArguments(TypedDict, total=False):
    """The settings as keyword arguments, for editors and type checkers; :class:`Settings` describes them.

    ``None`` means not configured.
    """

    api_command_line: str | None
    api_working_directory: _Path
    server_arguments: str | Sequence[str] | None
    environment: Mapping[str, str] | None
    api_url: str | None
    initial_port: int | None
    test_payload_file: _Path
    max_comfy_start_attempts: int | None
    comfy_start_attempts_sleep: float | None
    start_timeout: float | None
    stop_grace: float | None
    comfyui_path: _Path
    engine: Literal["auto", "comfyui", "emulator"] | None
    browser: Literal["eager", "lazy"] | None
    chromium_path: _Path
    prompt_cache: _Path
    native_conversion: Literal["on", "trial", "off"] | None
    comfyui_python: str | None
    emulator_directory: _Path
    on_server_death: Literal["raise", "restart", "restart_and_resubmit"] | None
    max_restarts: int | None
    cancel_restart_after: float | None
    on_out_of_memory: Literal["raise", "retry_once"] | None
    warm_nodes: int | None
    exact: bool | None
    token: str | None
    allow_paid: bool | None
    api_key: str | None


def is_visible(key: object) -> bool:
    """Whether a secret can be sent as it is: visible characters of ASCII, 512 at most."""
    return isinstance(key, str) and re.fullmatch(r"[!-~]{1,512}", key) is not None


def load_settings(
    config_path: str | os.PathLike[str] | None = None, /, **arguments: Unpack[SettingArguments]
) -> Settings:
    """Read the settings: ``arguments`` override the environment, which overrides the file, then the defaults.

    The file is ``config_path``, else ``$DISCOMFORT_CONFIG``, else ``comfy_serverless.json`` in the working directory if
    it exists.

    Raises:
        FileNotFoundError: the named file does not exist.
        ConfigurationError: the file is not a JSON object, a key is unknown (the nearest known one is named), or a value
            is invalid; key, value and source are named.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer, source in (*_file_layers(config_path), *_environment_layers(), (arguments, "argument")):
        for key, value in layer.items():
            name = _known_key(key, value, source)
            if value is not None:
                values[name], sources[name] = value, source
    if _is_bundled_default(values.get("test_payload_file")):
        del values["test_payload_file"]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        # Not chained: pydantic's error keeps all inputs, and some may be secrets.
        raise _explain(error, sources) from None
    settings._sources.update(sources)
    return settings


def _file_layers(config_path: str | os.PathLike[str] | None) -> list[tuple[dict[str, Any], str]]:
    named = config_path if config_path is not None else os.environ.get(CONFIG_ENV) or None
    path = Path(named if named is not None else DEFAULT_CONFIG_NAME).expanduser()
    if named is None and not path.is_file():
        return []
    return [(config_files.read_object(path), str(path))]


def _environment_layers() -> list[tuple[dict[str, Any], str]]:
    # Not an error: another program of that name may own the variable, or a newer version of this one.
    for problem in unknown_variables():
        _log.warning("%s", problem)
    return [
        ({name: value}, f"environment variable {ENV_PREFIX}{name}")
        for name, value in _variables_with_prefix()
        if name.lower() in Settings.model_fields
    ]


def unknown_variables() -> list[str]:
    """One line about each variable of the environment that has our prefix and is not a setting."""
    return [
        f"environment variable {ENV_PREFIX}{name} is not a setting{_nearest(name, prefix=ENV_PREFIX)}"
        for name, _ in _variables_with_prefix()
        if name.lower() not in Settings.model_fields
    ]


def _variables_with_prefix() -> Iterator[tuple[str, str]]:
    for variable, value in os.environ.items():
        if variable.startswith(ENV_PREFIX) and variable not in _MARKS | _FILES | _OF_NODES and value:
            yield variable.removeprefix(ENV_PREFIX), value


def _variable_problem(name: object, content: object) -> str:
    """What is wrong with a variable for the server, empty if nothing. Does not contain the value."""
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        return f"{name!r} is not the name of a variable"
    if name in _MARKS:
        return f"{name!r} is set by the connector itself"
    if not isinstance(content, str):
        return f"the value of {name!r} must be a text, not a {type(content).__name__}"
    return f"the value of {name!r} contains a NUL character" if "\0" in content else ""


def _known_key(key: str, value: object, source: str) -> str:
    name = key.lower()
    if name not in Settings.model_fields:
        # No setting but ``environment`` is an object, and that one's values are secrets, as are two others.
        may_be_secret = isinstance(value, Mapping) or bool(difflib.get_close_matches(name, ["token", "api_key"]))
        shown = STARS if may_be_secret else value
        raise ConfigurationError(f"unknown key{_nearest(key)}", key=key, value=shown, source=source)
    return name


def _nearest(key: str, *, prefix: str = "") -> str:
    return config_files.nearest_known(key, [name.upper() for name in Settings.model_fields], prefix=prefix)


def _is_bundled_default(value: object) -> bool:
    # The documented basic configuration names test_server.json; if that does not exist, the bundled one is meant.
    return value == DEFAULT_TEST_PAYLOAD and not Path(DEFAULT_TEST_PAYLOAD).exists()


def _explain(error: ValidationError, sources: Mapping[str, str]) -> ConfigurationError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    problem = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    value = STARS if name in _SECRET else first["input"]
    return ConfigurationError(problem + more, key=name.upper(), value=value, source=sources.get(name))
