"""The conformance suite of corruptions refuses each of these mistakes, and says which."""

import pytest
import torch

from dsrna.corruptions.catalog import corrupt
from dsrna.corruptions.levels import truncated
from dsrna.corruptions.noise import gaussian_noise
from dsrna.testing.corruption_conformance import check_corruption


def noise(x, severity, generator):
    return corrupt(x, "gaussian_noise", severity, generator)


def contrast(x, severity, generator):
    return corrupt(x, "contrast", severity, generator)


def raw_noise(x, severity, generator):
    return gaussian_noise(x.detach(), severity, generator)


def unrounded(x, severity, generator):
    return raw_noise(x, severity, generator).clamp(0, 1)


def keeps_a_graph(x, severity, generator):
    return noise(x, severity, generator) + 0 * x


def in_place(x, severity, generator):
    return x.detach().copy_(noise(x, severity, generator))


def nothing_on_black(x, severity, generator):
    return x.detach() if not x.any() else noise(x, severity, generator)


def divides_by_the_brightest(x, severity, generator):
    return truncated(raw_noise(x / x.amax(), severity, generator))


def square_alone(x, severity, generator):
    return noise(x.detach().transpose(2, 3), severity, generator)


def single_precision(x, severity, generator):
    return noise(x.float(), severity, generator)


def global_noise(x, severity, generator):
    return truncated(x.detach() + severity / 50 * torch.randn(x.shape))


def own_seed(x, severity, generator):
    return noise(x, severity, torch.Generator().manual_seed(0))


def goes_on(x, severity, generator):
    generator.seed()
    return noise(x, severity, generator)


def one_draw_for_all(x, severity, generator):
    return truncated(x.detach() + severity / 50 * torch.randn(x.shape[1:], generator=generator))


def by_the_batchs_mean(x, severity, generator):
    x = x.detach()
    return truncated((x - x.mean()) * (1 - severity / 8) + x.mean())


def by_the_first_image(x, severity, generator):
    return contrast(x.detach()[:1].expand_as(x), severity, generator)


def by_storage(x, severity, generator):
    x = x.detach()
    plain = torch.as_strided(x, x.shape, torch.empty(x.shape).stride())
    return contrast(plain, severity, generator)


def no_severity(x, severity, generator):
    return noise(x, 3, generator)


def severity_upside_down(x, severity, generator):
    return noise(x, 6 - severity, generator)


def three_severities(x, severity, generator):
    return noise(x, min(severity, 3), generator)


def nothing_at_first(x, severity, generator):
    return noise(x, severity, generator) if severity > 1 else truncated(x.detach()).clone()


def another_picture(x, severity, generator):
    return truncated(torch.rand(x.shape, generator=generator, dtype=x.dtype) + 1e-3 * severity * x.detach())


def refuses_grey(x, severity, generator):
    return corrupt(x, "saturate", severity, generator)


def draws_for_nothing(x, severity, generator):
    torch.rand(1, generator=generator)
    return contrast(x, severity, generator)


def precision_matters(x, severity, generator):
    found = contrast(x, severity, generator)
    return found if x.dtype == torch.float32 else (found + 3 / 255).clamp(0, 1)


MISTAKES = {
    "leaves the box": (raw_noise, True, r"leave \[0, 1\]"),
    "no bytes": (unrounded, True, "values that bytes can't hold"),
    "keeps a graph": (keeps_a_graph, True, "the images have a graph"),
    "in place": (in_place, True, "the given images changed"),
    "the images themselves": (nothing_on_black, True, "black: gives the images themselves"),
    "divides by the brightest": (divides_by_the_brightest, True, "black, .*: the images hold NaN"),
    "square images alone": (square_alone, True, "expected shape"),
    "single precision": (single_precision, True, "expected torch.float64"),
    "global random numbers": (global_noise, True, "global random numbers were drawn"),
    "a seed of its own": (own_seed, True, "not by the seed"),
    "another draw every time": (goes_on, True, "two calls with one seed differ"),
    "one draw for all images": (one_draw_for_all, True, "same draws"),
    "by the batch's mean": (by_the_batchs_mean, False, "depends on its batch mates"),
    "by the first image": (by_the_first_image, False, "an image alone becomes another one"),
    "by storage": (by_storage, False, "memory format"),
    "ignores the severity": (no_severity, True, "severities do the same"),
    "severity upside down": (severity_upside_down, True, "severity 5 changes the images by"),
    "three severities": (three_severities, True, "severities do the same"),
    "nothing at first": (nothing_at_first, True, "severity 1 changes nothing"),
    "another picture": (another_picture, True, "leaves nothing of the images"),
    "refuses grey images": (refuses_grey, False, "refuses grey images"),
    "draws for nothing": (draws_for_nothing, False, "the generator moved"),
    "is random after all": (noise, False, "the generator moved"),
    "precision matters": (precision_matters, False, "single and double precision differ"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_suite_refuses(name):
    corruption, draws, message = MISTAKES[name]
    with pytest.raises(AssertionError, match=message):
        check_corruption(corruption, draws=draws)


def test_grey_images_that_are_taken_after_all():
    with pytest.raises(AssertionError, match="accepts grey images"):
        check_corruption(contrast, draws=False, grey=False)


def test_the_suite_accepts_what_the_mistakes_start_from():
    check_corruption(noise, draws=True)
    check_corruption(contrast, draws=False)
