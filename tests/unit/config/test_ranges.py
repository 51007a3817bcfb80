"""Values of settings in Hydra's words for sweeps."""

import pytest

from dsrna.config.ranges import Range, ranges_of
from dsrna.errors import ConfigError


def test_every_kind_of_range():
    found = ranges_of([
        "metric.weight=tag(log,interval(1e-3,1))",
        "retrain.noise=interval(0,0.5)",
        "search.cells=int(interval(3,8))",
        "search.batch_size=range(16,65,16)",
        "objective@search.weights_objective=choice(standard,fast)",
        "threat.eps=0.1,8/255,null",
    ])  # fmt: skip
    assert list(found.values()) == [
        Range("metric.weight", 0.001, 1.0, None, True),
        Range("retrain.noise", 0.0, 0.5),
        Range("search.cells", 3, 8, 1),
        Range("search.batch_size", 16, 64, 16),
        Range("objective@search.weights_objective", choices=("standard", "fast")),
        Range("threat.eps", choices=(0.1, "8/255", None)),
    ]
    assert found["threat.eps"].ends == [0.1, "8/255", None]
    assert [Range.typed(value) for value in found["threat.eps"].ends] == ["0.1", "'8/255'", "null"]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["seed=3"], "Expected a range such as"),
        (["a=[1,2]"], "Expected a range such as"),
        (["a=range(0,1,0.5)"], "Expected a range such as"),
        (["a=interval(3,1)"], "from a smaller to a larger"),
        (["a=tag(log,interval(0,1))"], "above 0"),
        (["a=interval(0,1)", "+a=interval(0,2)"], "two ranges"),
        (["a=interval(0,"], "override"),
    ],
)
def test_what_is_no_range_is_refused(texts, says):
    with pytest.raises(ConfigError, match=says):
        ranges_of(texts)
