"""Benchmarks of torchcrop against its own back ends and against peers; see README.md for the rules."""
