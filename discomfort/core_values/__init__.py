"""Values as ComfyUI's own nodes load and save them: as files, and as arrays in its form."""
