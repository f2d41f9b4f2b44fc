"""Requests of clients: quorums, reads, writes, and the serving side of a copy."""
