"""Which ComfyUI is started, with which Python, in which folders."""
