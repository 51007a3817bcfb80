import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.training.averages import Averages

BATCHES = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 64)), min_size=1, max_size=20)


@pytest.mark.slow
@given(BATCHES)
def test_the_mean_is_that_over_all_values(batches):
    averages = Averages()
    for mean, count in batches:
        averages.add("loss", torch.tensor(mean, dtype=torch.float64), count)
    values = [mean for mean, count in batches for _ in range(count)]
    assert averages.mean("loss") == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert averages.pop() == {"loss": pytest.approx(sum(values) / len(values), abs=1e-6)}
    assert averages.means() == {}


@given(BATCHES, st.data())
def test_a_state_goes_on_to_the_last_bit(batches, data):
    cut = data.draw(st.integers(0, len(batches)))
    whole, first, second = Averages(), Averages(), Averages()
    for mean, count in batches:
        whole.add("a", mean, count)
    for mean, count in batches[:cut]:
        first.add("a", mean, count)
    second.load_state_dict(first.state_dict())
    for mean, count in batches[cut:]:
        second.add("a", mean, count)
    assert second.means() == whole.means()


def test_the_state_is_a_copy_and_names_are_kept_apart():
    averages = Averages()
    averages.add("a", 1.0, 1)
    state = averages.state_dict()
    averages.add("a", 3.0, 1)
    averages.add("b", 7.0, 2)
    assert averages.means() == {"a": 2.0, "b": 7.0}
    assert state == {"sums": {"a": 1.0}, "counts": {"a": 1}}


def test_a_mean_of_nothing_is_an_error():
    with pytest.raises(KeyError):
        Averages().mean("val/acc")
