"""Servers and connectors for the tests of programs that use ComfyUI; pytest finds the fixtures by itself.

=========================== ======== ===================================================================
fixture                     scope    what it is
=========================== ======== ===================================================================
``comfyui_server``          session  a real ComfyUI where one is named, else the emulator (:class:`ComfyServer`)
``fresh_comfyui_server``    function the same, with nothing queued, recorded, cached or stored by former tests
``comfyui_session_emulator`` session an emulator, whatever is named (:class:`EmulatorServer`)
``comfyui_emulator``        function an emulator of the test's own, with its faults
``comfy_connector``         function a connector for tests that await (:class:`AsyncConnector`)
``comfy_sync_connector``    function the same for tests that do not (``SyncConnector``)
``comfy_session_connector`` session  one ``SyncConnector`` on ``comfyui_server`` for all tests
``comfy_owned_connector``   function a ``SyncConnector`` that starts, and so may lose, an emulator process of its own
=========================== ======== ===================================================================

The connectors use the test's ``comfyui_emulator`` where the test has one, else ``fresh_comfyui_server``.

``--comfyui=FOLDER`` or ``COMFYUI_PATH`` name the real ComfyUI, ``--comfyui=emulator`` or ``DISCOMFORT_ENGINE=emulator``
none. The settings ``comfyui_nodes``, ``comfyui_object_info`` and ``comfyui_arguments`` of pytest's configuration hold
for all servers; ``@pytest.mark.comfyui_setup(nodes=, object_info=, arguments=, faults=)`` adds to them for the servers
of one test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discomfort.testing.bridge import AsyncConnector
    from discomfort.testing.emulated import EmulatorServer
    from discomfort.testing.servers import ComfyServer, Setup

_HOMES = {"AsyncConnector": "bridge", "ComfyServer": "servers", "EmulatorServer": "emulated", "Setup": "servers"}


def __getattr__(name: str) -> Any:
    """Import the module that defines ``name`` at its first use: pytest loads this package at every start."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["AsyncConnector", "ComfyServer", "EmulatorServer", "Setup"]
