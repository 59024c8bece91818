"""Peers: other programs for the same job, each run by the Python of an environment of its own."""
