"""Skeletons: which cells stand where in a network, and what is before, between and behind them."""
