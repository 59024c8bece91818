"""The season kernel: a model's day traced, differentiated, printed and compiled as one loop over a season."""
