"""Shared by all tests. Helpers with logic live in tests/support and have tests of their own."""
