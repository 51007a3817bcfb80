import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from dsrna.bounds.convolution import transposed_conv2d
from dsrna.errors import UnsupportedError

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.slow
@given(pair, pair, pair, st.tuples(st.integers(0, 5), st.integers(0, 5)), st.sampled_from([1, 2, 4]), st.integers(1, 2))
def test_is_the_transpose_of_the_convolution(kernel, stride, dilation, padding, groups, multiple):
    torch.manual_seed(0)
    size = (5, 7)
    reach = [gap * (length - 1) + 1 for gap, length in zip(dilation, kernel, strict=True)]
    assume(all(size[i] + 2 * padding[i] >= reach[i] for i in (0, 1)))
    weight = torch.randn(4 * multiple, 4 // groups, *kernel, dtype=torch.float64)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    settings = (stride, padding, dilation, groups)
    output = F.conv2d(x, weight, None, *settings)
    rows = torch.randn(3, *output.shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(output, x, rows, is_grads_batched=True)
    torch.testing.assert_close(transposed_conv2d(rows, weight, size, *settings), expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(padding):
    weight = torch.randn(2, 3, 3, 5, dtype=torch.float64)
    x = torch.randn(1, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    output = F.conv2d(x, weight, padding=padding)
    rows = torch.randn(1, *output.shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(output, x, rows[0])
    torch.testing.assert_close(transposed_conv2d(rows, weight, (6, 7), padding=padding)[0], expected)


def test_kernel_that_cannot_be_centred_is_refused():
    with pytest.raises(UnsupportedError, match="even kernel"):
        transposed_conv2d(torch.zeros(1, 1, 2, 4, 4), torch.zeros(2, 3, 2, 2), (4, 4), padding="same")


@pytest.mark.slow
def test_can_be_differentiated_in_both():
    rows = torch.randn(2, 1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    for stride, size in ((1, (3, 3)), (2, (5, 6))):
        assert torch.autograd.gradgradcheck(
            lambda r, w, size=size, stride=stride: transposed_conv2d(r, w, size, stride, 1, 1, 4), (rows, weight)
        )
