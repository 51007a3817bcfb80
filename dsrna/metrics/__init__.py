"""Differentiable robustness metrics, one a file: (model, x, y) -> (N,) scores, higher is more robust."""
