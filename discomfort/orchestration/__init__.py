"""Workflows as steps of a program: runs with values between them, and tools on workflow JSON and on pictures."""
