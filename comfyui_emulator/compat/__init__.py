"""Stand-ins for the ComfyUI modules that plain Python custom node packs import.

Only packs see these modules, under ComfyUI's names (``folder_paths``, ``comfy.utils``, ``comfy_api.latest`` …): their
``import`` is redirected here, and nothing is added to ``sys.modules``, where names such as ``nodes`` and ``server`` may
belong to another program. If a real ComfyUI can be imported, it is used instead.
"""
