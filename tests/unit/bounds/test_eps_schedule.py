import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.bounds.eps_schedule import EpsSchedule
from dsrna.errors import ConfigError

share = st.floats(0, 1)


@given(st.floats(0, 10), st.floats(0, 10), share, share, st.sampled_from(["linear", "smooth"]), st.lists(share))
def test_moves_from_start_to_end_and_never_back(start, end, first, second, shape, progress):
    schedule = EpsSchedule(start, end, min(first, second), max(first, second), shape)
    values = [schedule.at(point) for point in sorted([*progress, 1.0])]
    assert values[-1] == end
    assert all(min(start, end) <= value <= max(start, end) for value in values)
    assert values == sorted(values, reverse=start > end)


def test_smooth_is_half_a_cosine():
    schedule = EpsSchedule(1.0, 3.0, 0.25, 0.75, "smooth")
    assert schedule.at(0.25) == 1.0
    assert math.isclose(schedule.at(0.5), 2.0)
    assert math.isclose(schedule.at(0.375), 1.0 + 2.0 * (1 - math.sqrt(0.5)) / 2)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"start": -1.0, "end": 1.0}, "start"),
        ({"start": 0.0, "end": math.inf}, "end"),
        ({"start": 0.0, "end": 1.0, "begin": 0.5, "stop": 0.4}, "begin"),
        ({"start": 0.0, "end": 1.0, "stop": 1.5}, "stop"),
        ({"start": 0.0, "end": 1.0, "shape": "cubic"}, "shape"),
    ],
)
def test_bad_values_are_refused(settings, name):
    with pytest.raises(ConfigError, match=f"conf: .*{name}"):
        EpsSchedule(**settings)
