"""Stand-ins for the ComfyUI modules that plain Python custom node packs import.

Packs import them under ComfyUI's names (``folder_paths``, ``comfy.utils``, ``comfy_api.latest`` …). Only the imports of
packs are redirected here. They add nothing to ``sys.modules``, where names such as ``nodes`` and ``server`` may belong
to another program. If a real ComfyUI can be imported, it is used instead.
"""
