"""The version of the library; equal to that of pyproject.toml."""

__version__ = "0.1.0"
