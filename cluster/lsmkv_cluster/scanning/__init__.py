"""Listing the keys of a cluster: cursors that outlive changes, and pages of keys."""
