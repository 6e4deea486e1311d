"""The emulator and a real ComfyUI side by side: the same prompts on both, and what differs."""
