"""The error family. A message says what was expected, what came, where, and what to do."""


class DsrnaError(Exception):
    """Base of every error that dsrna raises on purpose; its message is meant for the user, without a traceback."""


class ConfigError(DsrnaError):
    """A setting is unknown, out of range, or contradicts another one."""


class DataError(DsrnaError):
    """A data set is missing, unreadable, or not what the settings say it is."""


class GenotypeError(DsrnaError):
    """A genotype or architecture string is malformed or belongs to another search space."""


class CheckpointError(DsrnaError):
    """A checkpoint or run folder is missing, truncated, of another version, or of another run."""


class OutputError(DsrnaError):
    """Standard output can't be written to."""


class NonFiniteError(DsrnaError):
    """A logit, loss, score or gradient became NaN or infinite.

    Attributes:
        image: index in its batch of an image where it did; None where that isn't known.
    """

    def __init__(self, message: str, image: int | None = None) -> None:
        super().__init__(message)
        self.image = image


class DistributedError(DsrnaError):
    """The processes that train one network together have lost one another, or differ."""


class MissingPartError(DsrnaError):
    """An optional package is needed and not installed; the message names the one command that installs it."""


class UnsupportedError(DsrnaError):
    """A part can't do what was asked of it; the message names the parts that can."""


class SoundnessError(DsrnaError):
    """A bound that was meant as a proof is wrong: a counterexample was found."""
