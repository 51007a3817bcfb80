"""What search, retrain and evaluate do."""
