"""Search for settings: trials of another command, compared by what they measure on validation images."""
