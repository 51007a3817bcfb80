"""Dashboards beside the run folder, each a part of the config, as many at once as are wanted."""
