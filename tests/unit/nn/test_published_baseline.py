"""The baseline of the search step's bench does the work of the reference supernet: no more, no less."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.darts import Darts
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from tests.thorough import thorough

SOURCE = Path(__file__).resolve().parents[3] / "experiments" / "bench" / "published_darts.py"


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE.is_file(), reason="experiments/ isn't part of the installed package")
@pytest.mark.parametrize(("channels", "cells"), [(4, 3), (8, 5), thorough(16, 8)])
def test_the_transcription_has_as_many_weights_and_operations(channels, cells):
    spec = importlib.util.spec_from_file_location("published_darts", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    published = module.PublishedDarts(channels, cells, 10)
    supernet = DartsSpace().supernet((3, 32, 32), 10, cells, channels)
    reference = RelaxedSupernet(supernet, Darts().initial(DartsSpace(), torch.Generator().manual_seed(0)))
    assert sum(p.numel() for p in published.weights()) == sum(p.numel() for p in supernet.parameters())
    counted = []
    for network in (published, reference):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.rand(2, 3, 32, 32))
        counted.append(counter.get_total_flops())
    assert counted[0] == counted[1]
