"""Methods compared: the same retraining and evaluation for all, from a plan to one table."""
