"""Equal networks made only of operations that bound libraries handle soundly."""
