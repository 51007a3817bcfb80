"""The stages of a job: search, retrain, evaluate, report."""
