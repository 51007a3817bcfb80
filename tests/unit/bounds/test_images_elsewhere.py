"""Attention as it is usually written: images not first on the way, heads side by side, class tokens."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.vision_transformer import VisionTransformer

from dsrna.bounds.crown import Crown
from dsrna.bounds.crown_ibp import CrownIBP
from dsrna.bounds.ibp import IBP
from dsrna.bounds.interval import Interval
from dsrna.errors import UnsupportedError


class Attention(nn.Module):
    """A class token and 4 others of 4 channels, two heads; written out with the images first."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 4))
        self.inner = nn.MultiheadAttention(4, 2, batch_first=True)
        self.classifier = nn.Linear(4, 3)
        nn.init.normal_(self.inner.in_proj_bias)
        nn.init.normal_(self.inner.out_proj.bias)

    def forward(self, x):
        x = F.pad(x.flatten(2).transpose(1, 2), (0, 0, 1, 0))
        known = F.pad(self.token, (0, 0, 0, 4))
        return self.classifier(self.attended(x + known)[:, 0])

    def projected(self, x):
        return F.linear(x, self.inner.in_proj_weight, self.inner.in_proj_bias)

    def attended(self, x):
        rows = self.projected(x)
        heads = [rows[:, :, 4 * part : 4 * part + 4].reshape(len(x), 5, 2, 2).permute(0, 2, 1, 3) for part in range(3)]
        return self.outputs(*heads)

    def outputs(self, query, key, value):
        weights = ((query * 0.5**0.5) @ key.transpose(2, 3)).softmax(-1)
        return self.inner.out_proj((weights @ value).transpose(1, 2).reshape(len(query), 5, 4))


class Concatenated(Attention):
    def forward(self, x):
        tokens = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        return self.classifier(self.attended(tokens)[:, 0])


class Fused(Concatenated):
    """As in timm: one linear layer, whose outputs are permuted to (3, N, heads, tokens, channels)."""

    def __init__(self, divide):
        super().__init__()
        self.divide = divide

    def attended(self, x):
        count, tokens, channels = x.shape
        rows = self.projected(x).reshape(count, tokens, 3, 2, channels // 2).permute(2, 0, 3, 1, 4)
        query, key, value = self.divide(rows)
        return self.outputs(query, key, value)


class Chunks(Concatenated):
    def attended(self, x):
        return self.outputs(*(part.unflatten(2, (2, 2)).transpose(1, 2) for part in self.projected(x).chunk(3, dim=-1)))


class Module(Concatenated):
    def __init__(self, batch_first, need_weights):
        super().__init__()
        self.inner.batch_first = batch_first
        self.need_weights = need_weights

    def attended(self, x):
        x = x if self.inner.batch_first else x.transpose(0, 1)
        output, weights = self.inner(x, x, x, need_weights=self.need_weights)
        assert (weights is not None) == self.need_weights
        return output if self.inner.batch_first else output.permute(1, 0, 2)


WAYS = {
    "class token": Concatenated,
    "unbind": lambda: Fused(lambda rows: rows.unbind(0)),
    "index": lambda: Fused(lambda rows: (rows[0], rows[1], rows[2])),
    "unpacked": lambda: Fused(lambda rows: rows),
    "split": lambda: Fused(lambda rows: [part.squeeze(0) for part in torch.split(rows, 1)]),
    "chunk": Chunks,
    "module": lambda: Module(batch_first=True, need_weights=False),
    "module with weights": lambda: Module(batch_first=True, need_weights=True),
    "module, tokens first": lambda: Module(batch_first=False, need_weights=False),
}


@pytest.fixture(scope="module")
def written_out():
    torch.manual_seed(0)
    return Attention().double().eval().requires_grad_(False)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_written_the_bounds_are_those_written_out(written_out, way, images):
    network = WAYS[way]().double().eval().requires_grad_(False)
    network.load_state_dict(written_out.state_dict())
    x = torch.rand(images, 4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(x), written_out(x))
    for engine in (IBP(), CrownIBP()):
        found, expected = (engine(one, x, 0.02) for one in (network, written_out))
        torch.testing.assert_close(found.lower, expected.lower)
        torch.testing.assert_close(found.upper, expected.upper)


def test_the_weights_of_the_module_are_bounded_too(written_out):
    attention = copy.deepcopy(written_out).inner
    x = torch.rand(2, 5, 4, dtype=torch.float64)
    box = Interval.ball(x, 0.1, "linf")
    _, averaged = attention(box, box, box)
    _, single = attention(box, box, box, average_attn_weights=False)
    for found, options in ((averaged, {}), (single, {"average_attn_weights": False})):
        _, reached = attention(x, x, x, **options)
        assert found.shape == reached.shape
        assert bool(((found.lower <= reached) & (reached <= found.upper)).all())
    torch.testing.assert_close(single.mean(1).upper, averaged.upper)


def test_a_block_with_tokens_first_is_that_with_images_first():
    torch.manual_seed(0)
    norm, layer = nn.LayerNorm(4).double(), nn.Linear(4, 4).double()
    x = Interval.ball(torch.rand(3, 5, 4, dtype=torch.float64), 0.01, "linf")
    shift = torch.rand(5, 1, 4, dtype=torch.float64)
    first = x.transpose(0, 1)
    found = (first * 2 + F.gelu(layer(norm(first))) - shift).softmax(0).transpose(0, 1)
    expected = (x * 2 + F.gelu(layer(norm(x))) - shift.transpose(0, 1)).softmax(1)
    torch.testing.assert_close(found.lower, expected.lower)
    torch.testing.assert_close(found.upper, expected.upper)


def test_points_of_the_ball_lie_in_the_bounds_of_torchvisions_transformer():
    torch.manual_seed(0)
    network = VisionTransformer(8, 4, 1, 2, 8, 8, num_classes=3).double().eval().requires_grad_(False)
    nn.init.normal_(network.heads.head.weight)
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    lower, upper = Crown()(network, x, 1e-4)
    for _ in range(5):
        reached = network((x + 1e-4 * (2 * torch.rand_like(x) - 1).sign()).clamp(0, 1))
        assert bool(((lower <= reached) & (reached <= upper)).all())
    assert (upper - lower).max() < 0.02


REFUSED = {
    "softmax over images": lambda x: x.transpose(0, 1).softmax(1),
    "linear over images": lambda x: F.linear(x.permute(1, 2, 0), torch.rand(2, 3)),
    "LayerNorm over images": lambda x: F.layer_norm(x.permute(1, 2, 0), (3,)),
    "images first and elsewhere": lambda x: x + x.transpose(0, 1),
    "elsewhere and first": lambda x: x.transpose(0, 1) + x,
    "concatenated": lambda x: torch.cat([x, x.transpose(0, 1)], 1),
    "module over images": lambda x: nn.MultiheadAttention(4, 2)(x, x, x),
    "flattened": lambda x: x.transpose(0, 1).flatten(0, 1),
    "matrix product over images": lambda x: x.permute(1, 0, 2) @ x.permute(1, 2, 0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_mixes_images_is_refused_elsewhere_too(what):
    x = Interval.ball(torch.rand(3, 3, 4), 0.1, "linf")
    with pytest.raises(UnsupportedError, match="mixes the images"):
        REFUSED[what](x)


@pytest.mark.parametrize("change", [lambda y: y.__iadd__(1), lambda y: F.relu(y, inplace=True)])
def test_in_place_changes_elsewhere_are_refused_and_seen(change):
    x = Interval.ball(torch.rand(3, 3, 4), 0.1, "linf")
    with pytest.raises(UnsupportedError, match="in-place change of a value whose images"):
        change(x.transpose(0, 1))
    views = (x.transpose(0, 1), x.chunk(2, 2)[1])
    x += 1
    for view in views:
        with pytest.raises(UnsupportedError, match="shared its memory"):
            view.exp()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key_padding_mask": torch.zeros(3, 3)}, "key_padding_mask"),
        ({"attn_mask": torch.zeros(6, 3, 3)}, "floating point numbers"),
    ],
)
def test_what_the_module_can_do_beyond_is_refused(options, reason):
    x = Interval.ball(torch.rand(3, 3, 4), 0.1, "linf")
    with pytest.raises(UnsupportedError, match=reason):
        nn.MultiheadAttention(4, 2, batch_first=True).eval()(x, x, x, **options)
