"""Data sets, deterministic splits, batched augmentation, and loaders that can start at any batch."""
