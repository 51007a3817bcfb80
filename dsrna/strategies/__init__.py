"""Search strategies: how alphas become operation weights, and how the hypergradient is taken."""
