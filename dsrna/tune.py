"""Search for settings by what trials measure on validation images: `python -m dsrna.tune +tuning=digits_gamma`."""

from dsrna.entry_module import begin

begin(__name__, "tune")
