"""dsrna: differentiable search of robust neural architectures."""

__version__ = "0.1.0"
