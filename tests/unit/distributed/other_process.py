"""What both processes of these tests do, one scene after the other; as a script, the process that follows."""

import os
import signal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from dsrna.distributed import group
from dsrna.distributed.meeting import Stages, arrival, joined, met_by_environment
from dsrna.nn.synced_batchnorm import synced


def images() -> Tensor:
    """The whole batch, of channels with means and spreads of their own."""
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x * torch.tensor([1.0, 2.0, 0.5])[:, None, None] + torch.tensor([0.0, 3.0, -1.0])[:, None, None]


def network(affine: bool = True) -> nn.Sequential:
    """Two BatchNorms that gradients of one image reach the others through."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.BatchNorm2d(3, affine=affine), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.Tanh(),
            nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape)
    return model.double()


def slopes(model: nn.Module, x: Tensor, *, second: bool) -> list[Tensor]:
    """The gradients in the weights of the mean loss, or of the mean squared input gradient of the summed logits."""
    weights = list(model.parameters())
    logits = model(x)
    if not second:
        return list(torch.autograd.grad(logits.square().mean(), weights))
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    return list(torch.autograd.grad(slope.square().flatten(1).sum(1).mean(), weights, materialize_grads=True,
                                    allow_unused=True))  # fmt: skip


def directional(model: nn.Module, x: Tensor, along: Tensor) -> list[Tensor]:
    """The gradients in the weights of the mean squared derivative of the logits, in forward mode."""
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(model(forward_ad.make_dual(x, along))).tangent
    assert tangent is not None
    return list(torch.autograd.grad(tangent.square().mean(), list(model.parameters()), materialize_grads=True,
                                    allow_unused=True))  # fmt: skip


def of_synced(what: str) -> tuple[list[Tensor], list[Tensor]]:
    """Averaged gradients, and the BatchNorms' statistics after one pass."""
    model, x = network(), images()
    synced(model)
    with group.in_parts():
        own = x[group.part(len(x))]
        if what == "jvp":
            found = directional(model, own, (3 * own).cos())
        else:
            found = slopes(model, own, second=what == "second")
        return group.averaged_all(found), [buffer.double() for buffer in model.buffers()]


def talk() -> tuple[list[Tensor | None], dict[str, float], list[int], str, int]:
    """One of everything that processes tell one another."""
    mine = group.rank() + 1.0
    tensors = [torch.full((2, 3), mine), None, torch.tensor(mine, dtype=torch.float64), torch.tensor([10.0]) * mine]
    with group.in_parts():
        averaged = group.averaged(tensors)
        moved = torch.tensor([mine])
        group.average_([moved])
    return (
        [*averaged, moved],
        group.means_of({"a": mine, "b": 2 * mine}),
        group.gathered(group.rank()),
        group.from_leader(f"from {group.rank()}"),
        group.code_of_leader(7 + group.rank()),
    )


def turns() -> tuple[list[tuple[int, int]], list[int]]:
    """Who did which of five tasks, by all; and which of them this process did."""
    own: list[int] = []

    def do(task: int) -> tuple[int, int]:
        own.append(task)
        return task, group.rank()

    with group.in_turns():
        return list(group.done_in_turns(range(5), do)), own


SCENES = {
    "first": lambda: of_synced("first"),
    "second": lambda: of_synced("second"),
    "jvp": lambda: of_synced("jvp"),
    "talk": talk,
    "turns": turns,
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL) if group.rank() else torch.distributed.barrier(),
}


def main() -> None:
    store, rank, size, local_rank = met_by_environment()
    stages = Stages(store)
    store.set(arrival(rank), "here")
    with joined(store, rank, size, local_rank, "cpu"):
        for name in stages.heard():
            stages.ready()
            SCENES[name]()


if __name__ == "__main__":
    main()
