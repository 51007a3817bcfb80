"""Hydra and OmegaConf live here: composing, validating, building parts, launching jobs."""
