"""Ray, as far as a pool uses it: actors, what their ends mean, machines that are drained, and requests for machines.

The only module that imports Ray. What is private of Ray is in one function each, and tests/on_ray shows that each still
does what is said here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from discomfort._system.concurrency import to_thread
from discomfort.exceptions import ConfigurationError, PoolError, ServerConnectionError, ServerError
from discomfort.pool.actor_ends import ActorLost
from discomfort.pool.server_actor import ServerActor, ServerOrder

_log = logging.getLogger("discomfort.pool")

NODE_LABEL = "ray.io/node-id"
"""The label that each machine has, with its id."""

NAMESPACE = "discomfort"

_ONCE = {"max_restarts": 0, "max_task_retries": 0}
"""With restarts nobody would know which life a run belonged to; with retries it would begin twice."""


def connect(address: str, options: Mapping[str, Any] | None = None) -> bool:
    """Join a cluster, or start one of this machine with ``"local"``. Returns whether this joined it.

    A process has one cluster: where Ray is initialized already, that one is used. Raises ConfigurationError without
    Ray, ServerConnectionError if the cluster does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "Ray is not installed, which a pool on a cluster needs",
            remedy="Install the extra `ray`, or ray[default] itself",
        ) from error
    if ray.is_initialized():
        return False
    given: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        # Without an address Ray would join whatever cluster a file or the environment names.
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, **{**given, **(options or {})})
    except (ConnectionError, ray.exceptions.RayError) as error:
        raise ServerConnectionError(f"the Ray cluster {address!r} cannot be joined: {error}", url=address) from error
    return True


def disconnect() -> None:
    """Leave the cluster; one that :func:`connect` started is ended."""
    import ray

    ray.shutdown()


class ActorLink:
    """One actor, as this process sees it. It lives once: Ray neither restarts nor retries it."""

    def __init__(self, actor: Any) -> None:
        """``actor`` is Ray's handle. Ray makes an actor when there is room; the first call waits for that."""
        self._actor = actor
        self.node: str = ""
        """The id of its machine, once it is known."""
        self._renewed_at = time.monotonic()
        self._is_over = False

    @property
    def renewed_at(self) -> float:
        """When the lease was last renewed, by :func:`time.monotonic`."""
        return self._renewed_at

    def renew(self) -> None:
        """Let the actor's lease last from now on. Does not wait; may be called from any thread."""
        if not self._is_over:
            self._renewed_at = time.monotonic()
            self._actor.renew.remote()

    def give_up(self) -> None:
        """Renew the lease no more."""
        self._is_over = True

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """The result of a method. If cancelled, the call goes on. Raises ActorLost, and what the method raised."""
        from ray.exceptions import RayError

        try:
            return await getattr(self._actor, name).remote(*arguments, **options)
        except RayError as error:
            raise await self._translated(error) from None

    async def stream(self, name: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """The items of a generator. Raises as :meth:`call`."""
        from ray.exceptions import RayError

        try:
            items = getattr(self._actor, name).options(num_returns="streaming").remote(*arguments)
            async for item in items:
                yield await item
        except RayError as error:
            raise await self._translated(error) from None

    def kill(self) -> None:
        """End the actor's process, without waiting for that. Its watchdog ends the server."""
        import ray

        self.give_up()
        try:
            ray.kill(self._actor)
        except Exception as error:  # noqa: BLE001 - it is gone, or Ray is
            _log.debug("an actor was not killed: %s", error)

    async def _translated(self, error: Exception) -> Exception:
        """What an error of Ray means: one that the actor raised, or the loss of the actor."""
        from ray.exceptions import ActorDiedError, RayError, RayTaskError

        if isinstance(error, RayTaskError):
            cause = error.cause
            is_own = isinstance(cause, Exception) and not isinstance(cause, RayError)
            return cause if is_own else ServerError(str(error))
        self.give_up()
        if not self.node:
            self.node = await to_thread(_node_of, self._actor)
        # The raylet of a living machine has seen the process end. Of another machine nobody knows what it does.
        has_died = isinstance(error, ActorDiedError)
        is_certain = has_died and bool(self.node) and await to_thread(_is_alive, self.node)
        return ActorLost(_text(error), is_certain=is_certain)


def server_link(order: ServerOrder, resources: Mapping[str, Any]) -> ActorLink:
    """An actor for a server. Ends with this process, however that ends."""
    import ray

    class DiscomfortServer(ServerActor):
        async def __init__(self, order: ServerOrder) -> None:  # type: ignore[misc]
            context = ray.get_runtime_context()
            super().__init__(order, context.get_node_id(), dict(context.get_node_labels()))

    return ActorLink(ray.remote(**_ONCE, **resources)(DiscomfortServer).remote(order))


def shared_link(name: str, kind: type | None) -> ActorLink:
    """The actor of this name, made as ``kind`` if there is none: it stays until it is killed.

    Raises PoolError if there is none and ``kind`` is ``None``.
    """
    import ray

    if kind is None:
        try:
            return ActorLink(ray.get_actor(name, namespace=NAMESPACE))
        except ValueError as error:
            raise PoolError(f"the cluster has no shared pool {name!r}") from error
    options = {"name": name, "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True, "num_cpus": 0}
    return ActorLink(ray.remote(**_ONCE, **options)(kind).remote())


def put(content: bytes) -> Any:
    """Put bytes into the cluster's store once; the result stands for them as an argument of a call."""
    import ray

    return ray.put(content)


def draining_nodes() -> dict[str, float]:
    """Machines that are going away, by id, with the seconds that they have left; infinite where nobody says.

    The cloud's notice comes through the operator of the cluster, as ``ray drain-node`` does it by hand. Raises what Ray
    raises.
    """
    from ray._private.state import state

    now = time.time()
    return {
        node: deadline / 1000 - now if deadline else float("inf")
        for node, deadline in state.get_draining_nodes().items()
    }


def request_machines(bundle: Mapping[str, float], count: int, selector: Mapping[str, str]) -> None:
    """Tell Ray's autoscaler for how many servers there must be room; where there is none, nothing changes."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(bundle)] * count, bundle_label_selectors=[dict(selector)] * count)


def cluster_resources() -> dict[str, float]:
    """What all machines have, by the name of the resource."""
    import ray

    return {name: amount for name, amount in ray.cluster_resources().items() if not name.startswith("node:")}


def _node_of(actor: Any) -> str:
    """The machine of an actor that told nothing before it died; empty if nobody knows. Private of Ray."""
    from ray._private.state import actors

    try:
        return str(actors(actor._actor_id.hex()).get("Address", {}).get("NodeID", ""))
    except Exception as error:  # noqa: BLE001 - whatever Ray raises: it is only a hint
        _log.debug("the machine of an actor is not known: %s", error)
        return ""


def _is_alive(node: str) -> bool:
    import ray

    try:
        return any(row["NodeID"] == node and row["Alive"] for row in ray.nodes())
    except Exception as error:  # noqa: BLE001 - a cluster that does not answer has no machine that lives
        _log.debug("the machines of the cluster are not known: %s", error)
        return False


def _text(error: Exception) -> str:
    """The words of an error of Ray on one line."""
    return " ".join(str(error).split())[:2000] or type(error).__name__
