"""Running any command: its request, run folder, lock, stages, logs, and how it goes on where it stopped."""
