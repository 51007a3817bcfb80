import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.training.metric_weight import MetricWeight


def test_constant_from_the_start_on():
    gamma = MetricWeight(0.01, start=2, epochs=5)
    assert [gamma.at(epoch) for epoch in range(5)] == [0, 0, 0.01, 0.01, 0.01]


@given(st.floats(0, 10), st.integers(1, 50), st.data())
def test_linear_grows_in_equal_steps_to_the_whole_weight(weight, epochs, data):
    start = data.draw(st.integers(0, epochs - 1))
    gamma = MetricWeight(weight, start, epochs, "linear")
    values = [gamma.at(epoch) for epoch in range(start, epochs)]
    assert all(gamma.at(epoch) == 0 for epoch in range(start))
    assert values[-1] == pytest.approx(weight)
    assert values == pytest.approx([values[0] * (i + 1) for i in range(len(values))])


def test_a_start_after_the_end_never_counts():
    assert all(MetricWeight(1.0, 7, 5, "linear").at(epoch) == 0 for epoch in range(5))
