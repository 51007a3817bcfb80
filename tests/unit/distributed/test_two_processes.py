"""What two processes tell one another, against what one computes of the whole batch."""

import pytest
import torch
from torch import nn

from dsrna.distributed import group, leading
from dsrna.functional.plain_batch_norm import PlainBatchNorm
from dsrna.nn.synced_batchnorm import SyncedBatchNorm2d, synced
from tests.unit.distributed import other_process
from tests.unit.distributed.other_process import SCENES, directional, images, network, slopes

OTHER = "tests.unit.distributed.other_process"


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    with leading.led(2, "cpu", tmp_path_factory.mktemp("run"), OTHER) as stages:
        yield stages


@pytest.mark.parametrize("what", ["first", "second", "jvp"])
def test_gradients_by_parts_are_those_of_the_whole_batch(stages, what):
    stages.announce(what)
    found, statistics = SCENES[what]()
    model, x = network(), images()
    expected = derivatives_along(model, x) if what == "jvp" else slopes(model, x, second=what == "second")
    assert any(slope.abs().max() > 1e-3 for slope in expected)
    for ours, others in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, others, rtol=1e-9, atol=1e-11)
    for ours, others in zip(statistics, model.buffers(), strict=True):
        torch.testing.assert_close(ours, others.double())


def derivatives_along(model, x):
    """By plain arithmetic: torch's own BatchNorm is wrong here."""
    with PlainBatchNorm():
        return directional(model, x, (3 * x).cos())


def test_what_processes_tell_one_another(stages):
    stages.announce("talk")
    averaged, means, ranks, text, code = SCENES["talk"]()
    full, none, scalar, last, moved = averaged
    assert torch.equal(full, torch.full((2, 3), 1.5))
    assert none is None
    assert scalar == 1.5
    assert scalar.dtype == torch.float64
    assert last.tolist() == [15.0]
    assert moved.tolist() == [1.5]
    assert means == {"a": 1.5, "b": 3.0}
    assert ranks == [0, 1]
    assert text == "from 0"
    assert code == 7


def test_each_process_does_every_second_task_and_knows_all_results(stages):
    stages.announce("turns")
    results, own = SCENES["turns"]()
    assert results == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    assert own == [0, 2, 4]
    assert list(group.done_in_turns(range(3), lambda task: task)) == [0, 1, 2], "outside, the leader does them alone"


def test_outside_the_common_steps_the_leader_works_alone(stages):
    """Nobody answers here: a message would be waited for."""
    model, x = network(), images()
    synced(model)
    plain = network()
    torch.testing.assert_close(model(x), plain(x))
    assert group.averaged([x])[0] is x
    assert group.per_image(torch.zeros, (3, 2)).shape == (3, 2)


def test_every_batchnorm_becomes_a_synced_one_with_its_weights():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    synced(model)
    kinds = [type(module) for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert kinds == [SyncedBatchNorm2d] * 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_scenes_are_all_used():
    assert set(SCENES) == {"first", "second", "jvp", "talk", "turns", "die"}
    assert other_process.__name__ == OTHER
