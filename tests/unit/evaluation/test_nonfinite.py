"""Attack libraries pass over NaN; the evaluation doesn't."""

import pytest
import torch
from torch import nn

from dsrna.data.images import ArrayImages
from dsrna.errors import DataError, NonFiniteError, UnsupportedError
from dsrna.evaluation import APGD, AutoAttack, CarliniWagner, FoolboxFGSM, FoolboxPGD, Square, evaluate
from dsrna.testing.tiny_networks import faulty_network
from dsrna.types import Threat

BAD = 3
THREATS = {"linf": Threat("linf", 0.05), "l2": Threat("l2", 0.2)}
BY_GRADIENTS = {
    "fgsm": FoolboxFGSM(),
    "pgd": FoolboxPGD(steps=3),
    "cw": CarliniWagner(steps=10, binary_search_steps=2),
    "apgd": APGD(steps=5),
    "autoattack": AutoAttack(),
}


def batch(first=0.7):
    x = 0.3 * torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(3))
    x[BAD, 0, 0, 0] = first
    return x


def classes(model, x):
    """Those that the network gives, so that every attack begins, also for images that it has no logits for."""
    return model(x).nan_to_num(0, 0, 0).argmax(1)


def speak_against_a_bright_first_pixel(model, label):
    """With the same logits at the image."""
    with torch.no_grad():
        model[2].weight[label, 0] -= 3
        model[2].bias[label] += 3 * 0.59


@pytest.mark.parametrize("fault", ["nan gradient", "nan logits", "infinite logits"])
@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_image_and_layer_are_named(name, norm, fault):
    model, x = faulty_network(fault, 25), batch()
    where = rf"the {'backward' if 'gradient' in fault else 'forward'} pass of `1`"
    with pytest.raises(NonFiniteError, match=rf"image {BAD} of the batch of 6.* {where}") as caught:
        BY_GRADIENTS[name].run(model, x, classes(model, x), THREATS[norm], seed=0)
    assert caught.value.image == BAD
    assert model.training


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("name", ["pgd", "apgd", "autoattack"])
def test_a_gradient_that_is_nan_on_the_way_alone(name, norm):
    """The clean image lies below the bad region; what is returned may lie behind it."""
    model, x = faulty_network("nan gradient", 25), batch(0.59)
    y = classes(model, x)
    speak_against_a_bright_first_pixel(model, y[BAD])
    BY_GRADIENTS["fgsm"].run(model, x, y, Threat("linf", 0.02), seed=0)
    with pytest.raises(NonFiniteError, match=rf"image {BAD} of the batch of 6.* the backward pass of `1`"):
        BY_GRADIENTS[name].run(model, x, y, THREATS[norm], seed=0)


def test_an_attack_without_gradients_meets_logits_alone():
    x = batch()
    model = faulty_network("nan gradient", 25)
    assert Square(queries=20).run(model, x, classes(model, x), THREATS["linf"], seed=0).shape == (6,)
    model = faulty_network("nan logits", 25)
    with pytest.raises(NonFiniteError, match=rf"image {BAD} of the batch of 6.* the forward pass of `1`"):
        Square(queries=20).run(model, x, classes(model, x), THREATS["linf"], seed=0)


def test_the_image_of_a_smaller_call_is_found_again():
    """AutoAttack calls the network on the images that still stand."""
    model, x = faulty_network("nan gradient", 25), batch(0.59)
    y = classes(model, x)
    speak_against_a_bright_first_pixel(model, y[BAD])
    y[:2] = (y[:2] + 1) % 3
    with pytest.raises(NonFiniteError, match=rf"image {BAD} of the batch of 6"):
        APGD(steps=5).run(model, x, y, THREATS["linf"], seed=0)


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_logits_without_a_gradient_are_refused(name):
    class Detached(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3].detach()

    x = batch()
    with pytest.raises(UnsupportedError, match="black-box"):
        BY_GRADIENTS[name].run(Detached(), x, classes(Detached(), x), THREATS["linf"], seed=0)


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_classes_that_the_network_does_not_have_are_refused(name):
    with pytest.raises(DataError, match="got classes from 0 to 3"):
        BY_GRADIENTS[name].run(
            faulty_network("nan gradient", 25), batch(0.1), torch.tensor([0, 1, 2, 3, 0, 1]), THREATS["l2"], seed=0
        )


def test_an_evaluation_names_the_image_of_the_data_set(tmp_path):
    model = faulty_network("nan gradient", 25)
    pixels = (255 * batch().repeat(3, 1, 1, 1)).byte()
    pixels[[BAD, BAD + 6], 0, 0, 0] = 0
    y = classes(model, pixels / 255)
    y[12] = (y[12] + 1) % 3  # attacked are images that are right without an attack alone
    with pytest.raises(NonFiniteError, match=f"image {12 + BAD} of the evaluation.* image {BAD - 1} of the batch of 5"):
        evaluate(
            model, ArrayImages(pixels, y, 3), [FoolboxPGD(steps=2)], THREATS["linf"], seed=0, batch_size=6,
            folder=tmp_path,
        )  # fmt: skip
