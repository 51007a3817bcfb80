"""Lightning lives here: modules, callbacks, loggers."""
