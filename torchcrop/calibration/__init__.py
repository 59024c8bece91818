"""Calibration of models on field observations."""
