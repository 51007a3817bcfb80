"""Every numeric setting times every kind of bad value: refused with its key, before anything is loaded or written.

The rows are made from the composed configs, so that a new setting has its rows too. They are put into the composed
config, past the parsing of a command line, which `tests/integration/test_bad_input.py` looks at: that costs little.
"""

import math
import pickle
from functools import cache

import pytest
from omegaconf import OmegaConf

from dsrna.config.compose import compose
from dsrna.config.validate import validated
from dsrna.errors import ConfigError
from dsrna.querying.settings import query_settings
from dsrna.ranking.settings import rank_settings
from dsrna.tables.settings import benchmark_training_settings

ENTRIES = {
    "search": (validated, ["evaluate=certified", "metric=combined", "retrain.certified=true"]),
    "retrain": (validated, ["objective=trades"]),
    "evaluate": (validated, ["threat=l2"]),
    "rank": (rank_settings, ["proxy=[ntk_robust,croze_paper,zen,curvature,input_hessian]"]),
    "query": (query_settings, ["method=[evolution,genetic,mutate,nsga2]"]),
    "benchmark_train": (benchmark_training_settings, ["arch=13433"]),
}
OF_SEARCH = {"retrain", "evaluate", "benchmark_train"}
"""Their settings are those of a search, but for what stands here beside them."""
OWN = {
    "retrain": ("objective.",),
    "evaluate": ("threat.",),
    "benchmark_train": ("seeds", "retrain.schedule", "n", "arch"),
}
WRONG = {"text": "abc", "NaN": math.nan, "infinity": math.inf, "huge": 10**30}


@cache
def composed(entry):
    return compose(entry, ENTRIES[entry][1])


@cache
def pickled(entry):
    """A copy from it takes a third of the time of a deep one."""
    return pickle.dumps(composed(entry))


def numbers_in(node, prefix=""):
    """Keys whose values are numbers."""
    items = node.items() if isinstance(node, dict) else ()
    for key, value in items:
        place = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from numbers_in(value, f"{place}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield place


def rows():
    for entry in ENTRIES:
        for key in numbers_in(OmegaConf.to_container(composed(entry), resolve=True)):
            if entry in OF_SEARCH and not key.startswith(OWN[entry]):
                continue
            for kind, value in WRONG.items():
                is_rate = isinstance(OmegaConf.select(composed(entry), key), float) or key.endswith("seconds_per_image")
                if kind == "huge" and is_rate:
                    continue  # a rate of 1e30 is nonsense, but a number
                marks = [] if kind in ("text", "NaN") else pytest.mark.slow  # all together they take seconds
                yield pytest.param(entry, key, value, id=f"{entry}, {key}, {kind}", marks=marks)


ROWS = list(rows())


def refusal(entry, key, value):
    config = pickle.loads(pickled(entry))  # noqa: S301 (our own)
    OmegaConf.update(config, key, value, force_add=True)
    with pytest.raises(ConfigError) as caught:
        ENTRIES[entry][0](config)
    return str(caught.value)


@pytest.mark.parametrize(("entry", "key", "value"), ROWS)
def test_what_is_no_number_of_that_kind_is_refused_with_its_key(entry, key, value):
    message = refusal(entry, key, value)
    assert f"(conf: {key})" in message
    assert message.count("(conf:") <= 2, "nothing else is blamed"
    assert len(message) < 600


def test_the_table_is_long_enough():
    assert len(ROWS) >= 250


SIGNED = {"metric.eps_begin", "metric.eps_stop"}
"""What may be negative, or is only looked at beside a radius."""


@pytest.mark.parametrize("key", list(numbers_in(OmegaConf.to_container(composed("search"), resolve=True))))
def test_no_other_number_may_be_negative(key):
    if key in SIGNED:
        pytest.skip("may be negative")
    assert "conf: " in refusal("search", key, -1)


@pytest.mark.parametrize(
    "key",
    ["search.epochs", "retrain.epochs", "certified.epochs", "search.batch_size", "retrain.cells", "retrain.channels",
     "retrain.selection_steps", "evaluate.batch_size", "data.validation_fraction", "search.weights_fraction",
     "evaluate.verify.batch_size", "evaluate.verify.seconds_per_image", "evaluate.attacks.pgd20.steps",
     "objective.steps", "strategy.partial_channels"],
)  # fmt: skip
def test_zero_is_refused_where_it_means_nothing(key):
    assert f"conf: {key}" in refusal("search", key, 0)
