"""Talking to nodes as their client."""
