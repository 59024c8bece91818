"""Time and batch: the engine and the run."""
