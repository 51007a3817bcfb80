"""The residual reduction against its definition in torch.nn.functional."""

import pytest
import torch
from torch.nn import functional as F

from dsrna.nn.residual_reduction import ResidualReduction


def block(x, weight, stride):
    y = F.conv2d(x.relu(), weight, stride=stride, padding=1)
    return F.batch_norm(y, None, None, training=True)


@pytest.mark.parametrize("size", [(8, 6), (7, 8), (5, 9)])
def test_equals_its_definition(size):
    torch.manual_seed(0)
    layer = ResidualReduction(3, 6).double()
    first, second, shortcut = (p for p in layer.parameters() if p.dim() == 4)
    x = torch.randn(4, 3, *size, dtype=torch.float64)
    # averages over the pixels that are there: sums over zero-padded blocks, divided by how many pixels each has
    padded, ones = (F.pad(t, (0, size[1] % 2, 0, size[0] % 2)) for t in (x, torch.ones_like(x)))
    sums, counts = (t.unfold(2, 2, 2).unfold(3, 2, 2).sum(dim=(4, 5)) for t in (padded, ones))
    around = torch.einsum("oc,nchw->nohw", shortcut[:, :, 0, 0], sums / counts)
    torch.testing.assert_close(layer(x), around + block(block(x, first, 2), second, 1))


def test_way_around_has_no_batch_norm():
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in ResidualReduction(2, 4).modules()) == 2
