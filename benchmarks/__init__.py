"""Measurements: beside other engines, in little memory, and kernel by kernel."""
