"""dsrna: differentiable search of robust neural architectures."""

from dsrna.api import (
    compare,
    compare_runs,
    consensus,
    evaluate,
    load,
    predict,
    publish,
    query,
    rank,
    retrain,
    search,
    tune,
    verify,
)
from dsrna.errors import DsrnaError
from dsrna.finished_run import Run

__version__ = "0.1.0"
__all__ = [
    "DsrnaError",
    "Run",
    "compare",
    "compare_runs",
    "consensus",
    "evaluate",
    "load",
    "predict",
    "publish",
    "query",
    "rank",
    "retrain",
    "search",
    "tune",
    "verify",
]
