"""Calibration of models on field data."""
