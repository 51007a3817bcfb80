"""The NAS-Bench-201 search space: one cell of six edges and five operations; 15,625 architectures."""
