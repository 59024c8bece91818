"""torchcrop: differentiable, batched crop models."""

__version__ = "0.1.0"
