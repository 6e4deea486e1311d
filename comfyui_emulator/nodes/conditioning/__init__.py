"""Nodes for conditionings and the hooks attached to them."""
