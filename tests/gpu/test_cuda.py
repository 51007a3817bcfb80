"""The same calls on a GPU give values close to the CPU's. Skipped where there is none."""

import copy
import json

import pytest
import torch
from torch import nn

from dsrna.attacks.pgd import PGD
from dsrna.corruptions import CORRUPTIONS, EXTRA, corrupt
from dsrna.data.images import ArrayImages
from dsrna.data.loader import BatchLoader, PairedLoader
from dsrna.evaluation.evaluator import evaluate
from dsrna.evaluation.foolbox_engine import FoolboxPGD
from dsrna.metrics.jacobian import JacobianNorm
from dsrna.nn.edges.implementation import use_implementation
from dsrna.objectives.fast import FastAdversarial
from dsrna.objectives.standard import Standard
from dsrna.run_folder import RunFolder
from dsrna.spaces.darts.space import DartsSpace
from dsrna.strategies.first_order import FirstOrder
from dsrna.strategies.metric_join import Fixed
from dsrna.strategies.pcdarts import PCDarts
from dsrna.strategies.regularisers.entropy import Entropy
from dsrna.strategies.relaxed_supernet import RelaxedSupernet
from dsrna.training.fit import TrainerOptions, fit
from dsrna.training.metric_weight import MetricWeight
from dsrna.training.search_module import SearchModule
from dsrna.types import Threat
from dsrna.verification import Verification, verify

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SHAPE, CLASSES = (3, 16, 16), 5
SPACE = DartsSpace(nodes=2)


@pytest.fixture(autouse=True)
def _full_precision():
    """TF32 rounds to 10 bits, which is not close."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


def images(count, seed):
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, *SHAPE), generator=draw, dtype=torch.uint8)
    return ArrayImages(pixels, torch.arange(count) % CLASSES, CLASSES)


def supernet(*regularisers):
    strategy = PCDarts(partial_channels=2)
    torch.manual_seed(0)
    network = SPACE.supernet(SHAPE, CLASSES, cells=3, channels=4, partial_channels=2)
    return RelaxedSupernet(network, strategy.initial(SPACE, torch.Generator().manual_seed(1)), regularisers)


def on_both(model, function):
    """function(model, x, y) on the CPU and on the GPU, both results on the CPU."""
    x, y = images(8, 2).batch(torch.arange(8))
    on_cpu = function(copy.deepcopy(model), x, y)
    on_gpu = function(copy.deepcopy(model).cuda(), x.cuda(), y.cuda())
    assert on_gpu.device.type == "cuda"
    return on_cpu, on_gpu.cpu()


@pytest.mark.parametrize(
    "metric",
    [
        JacobianNorm("linf", "exact"),
        JacobianNorm("l2", "classes", projections=2, derivative="central_difference"),
        JacobianNorm("l2", "projection"),
    ],
)
def test_metrics(metric):
    def score(model, x, y):
        return metric(model, x, y, torch.Generator().manual_seed(3))

    on_cpu, on_gpu = on_both(supernet().double(), lambda model, x, y: score(model, x.double(), y))
    torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-6, atol=1e-8)

    def gradient(model, x, y):
        score(model, x.double(), y).mean().backward()
        return torch.cat([alpha.grad.flatten() for alpha in model.architecture.parameters()])

    on_cpu, on_gpu = on_both(supernet().double(), gradient)
    torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks(norm):
    attack = PGD(norm, 0.1, steps=3)

    def examples(model, x, y):
        return attack(model.eval(), x.double(), y, torch.Generator().manual_seed(3))

    on_cpu, on_gpu = on_both(supernet().double(), examples)
    torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-6, atol=1e-6)


def search(path, accelerator):
    halves = [
        BatchLoader(images(17, seed), 8, seed=0, purpose=purpose, shuffle=True, drop_last=True)
        for seed, purpose in ((1, "w"), (2, "a"))
    ]
    module = SearchModule(
        supernet(Entropy(0.1)),
        SPACE,
        weights_objective=FastAdversarial(Threat("linf", 0.1)),
        architecture_objective=Standard(),
        hypergradient=FirstOrder(),
        metric=JacobianNorm("l2", "projection"),
        metric_weight=MetricWeight(0.1, 0, 2),
        metric_join=Fixed(),
        warmup_epochs=0,
        gradient_clip=5.0,
        make_optimizers=lambda weights, alphas: (
            torch.optim.SGD(weights, lr=0.02, momentum=0.9),
            torch.optim.Adam(alphas, lr=1e-3),
            None,
        ),
        on_epoch=lambda history: None,
        stage="search",
        seed=0,
        fingerprint="f",
        epochs=2,
        schedule_interval="epoch",
    )
    folder = RunFolder.create(
        path, kind="search", fingerprint="f", config_text="", overrides=[], stages=["search"], device=accelerator
    )
    options = TrainerOptions(accelerator, "64-true", False, "off", 0.0, None)
    validation = BatchLoader(images(8, 3), 8, seed=0, purpose="v", shuffle=False)
    fit(module, PairedLoader(*halves), validation, folder, options, [])
    return torch.load(folder.last_checkpoint("search"), map_location="cpu", weights_only=True), folder.read_metrics()


def test_search_steps(tmp_path):
    (on_cpu, cpu_records), (on_gpu, gpu_records) = search(tmp_path / "c", "cpu"), search(tmp_path / "g", "gpu")
    assert on_gpu["global_step"] == on_cpu["global_step"] == 4
    for name, expected in on_cpu["state_dict"].items():
        torch.testing.assert_close(on_gpu["state_dict"][name], expected, rtol=1e-5, atol=1e-6, msg=name)
    for found, expected in zip(gpu_records, cpu_records, strict=True):
        for key in ("search/train/loss", "search/val/loss", "search/val/score"):
            assert found[key] == pytest.approx(expected[key], rel=1e-5)


def test_evaluation(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    data = images(40, 4)

    def run(device):
        return evaluate(
            copy.deepcopy(model), data, [FoolboxPGD(steps=5)], Threat("linf", 0.02), seed=0, batch_size=16,
            folder=tmp_path / device, eps_curve=[0.01], device=device,
        )  # fmt: skip

    on_cpu, on_gpu = run("cpu"), run("cuda")
    assert on_gpu["clean"]["accuracy"] == pytest.approx(on_cpu["clean"]["accuracy"], abs=1 / 40)
    for found, expected in zip(on_gpu["records"], on_cpu["records"], strict=True):
        assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=2 / 40)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_verification(norm, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(196, CLASSES)).eval()
    x = images(8, 2).batch(torch.arange(8))[0]
    data = x, model(x).argmax(1)
    settings = Verification(norm=norm, engines=["ibp", "crown"], attack_steps=3, attack_restarts=1)
    found = []
    for device in ("cpu", "cuda"):
        verify(model, data, settings, seed=0, folder=tmp_path / device, device=device)
        document = json.loads((tmp_path / device / f"verification_{norm}.json").read_text())
        found.append([verdict["certified"] for verdict in document["verdicts"]])
    assert min(found[0]) > 0
    assert found[1] == pytest.approx(found[0], rel=1e-3)


@pytest.mark.parametrize("name", [*CORRUPTIONS, *EXTRA])
def test_corruptions_draw_the_same_wherever_the_images_live(name):
    """But for single pixels that rounding takes to the neighbouring level."""
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    here, there = (corrupt(x.to(d), name, 4, torch.Generator().manual_seed(1)) for d in ("cpu", "cuda"))
    assert there.is_cuda
    levels = ((here - there.cpu()) * 255).abs().round()
    assert (levels > 0).float().mean() < 0.01


def test_batched_edges():
    """What a search on a GPU takes by default, against the modules one by one."""
    gradients = []
    for kind in ("auto", "reference"):
        model = supernet().double().cuda()
        said = use_implementation(model, kind, "cuda")
        assert said.startswith("batched" if kind == "auto" else "reference")
        x, y = images(8, 2).batch(torch.arange(8))
        loss = nn.functional.cross_entropy(model(x.cuda().double()), y.cuda())
        gradients.append(
            torch.autograd.grad(
                loss, [*model.architecture.parameters(), *model.supernet.parameters()], allow_unused=True
            )
        )
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
