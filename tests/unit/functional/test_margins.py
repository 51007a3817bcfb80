"""Margins against a loop over classes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dsrna.functional.margins import all_margins, margin


@given(seed=st.integers(0, 1000), classes=st.integers(2, 6))
def test_margins_equal_a_loop(seed, classes):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, classes, generator=draw)
    y = torch.randint(classes, (4,), generator=draw)
    for image in range(4):
        others = [logits[image, y[image]] - logits[image, j] for j in range(classes) if j != y[image]]
        assert all_margins(logits, y)[image].tolist() == [one.item() for one in others]
        assert margin(logits, y)[image] == min(others)


def test_margin_is_positive_exactly_where_the_class_is_right():
    logits = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    y = torch.arange(200) % 4
    assert torch.equal(margin(logits, y) > 0, logits.argmax(1) == y)


def test_gradient_is_one_at_the_class_and_minus_one_at_its_rival():
    logits = torch.tensor([[1.0, 5.0, 2.0]], requires_grad=True)
    margin(logits, torch.tensor([2])).sum().backward()
    assert logits.grad.tolist() == [[0, -1, 1]]
