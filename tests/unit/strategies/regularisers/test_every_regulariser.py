"""Every regulariser in conf/, on both spaces, by every implementation of the edges."""

import pytest
import torch
import torch.nn.functional as F
import yaml

from dsrna.config.catalog import choices, conf_folder
from dsrna.config.parts import build_part
from dsrna.strategies.pcdarts import PCDarts
from tests.thorough import thorough


def built(name):
    node = yaml.safe_load((conf_folder() / "regulariser" / f"{name}.yaml").read_text())
    return build_part(node, f"regulariser.{name}")


def gradients(model, step_of, images, kind):
    """Those of a step's loss and penalties, in alphas and network weights."""
    x, y = images
    model.begin_step(step_of(model, kind, 0.5, images))
    loss = F.cross_entropy(model(x), y)
    for each in model.regularisers:
        penalty = each.weights_penalty() if kind == "weights" else each.penalty(model.architecture)
        if penalty is not None:
            loss = loss + penalty
    return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "partial_channels"),
    [("darts", 2), ("nasbench201", 1), thorough("darts", 1), thorough("nasbench201", 2)],
)
@pytest.mark.parametrize("name", choices("regulariser"))
def test_it_runs_alike_by_every_implementation(relaxed, step_of, images, name, space, partial_channels):
    strategy = PCDarts(partial_channels=partial_channels)
    models = [relaxed(space, [built(name)], kind, strategy)[1] for kind in ("reference", "batched", "auto")]
    for kind in ("weights", "architecture"):
        reference, *others = (gradients(model, step_of, images, kind) for model in models)
        assert all(gradient.isfinite().all() for gradient in reference)
        for other in others:
            torch.testing.assert_close(other, reference)


@pytest.mark.parametrize("name", choices("regulariser"))
def test_it_changes_a_step_and_leaves_what_is_expected(relaxed, step_of, images, name):
    _, plain = relaxed("nasbench201")
    _, model = relaxed("nasbench201", [built(name)])
    changed = False
    for kind in ("weights", "architecture"):
        with_it, without = (gradients(each, step_of, images, kind) for each in (model, plain))
        changed = changed or not all(torch.allclose(a, b, rtol=1e-8) for a, b in zip(with_it, without, strict=True))
        torch.testing.assert_close(model.expected_logits(images[0]), plain.expected_logits(images[0]))
    assert changed
