"""Tabular benchmarks: published accuracies of all NAS-Bench-201 architectures, to look up instead of training."""
