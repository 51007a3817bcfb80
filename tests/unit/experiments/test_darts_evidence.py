"""Searched cells beside random ones: what is done once, what is drawn, and what the report makes of it."""

import math
import re
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dsrna.json_files import read_json
from dsrna.metrics.certified import Certified
from dsrna.run_lock import held
from dsrna.testing.data_roots import write_array_set
from dsrna.testing.tiny_networks import TinyMixedNetwork, linear_network, tiny_images

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "darts_evidence"
TINY = [
    "+experiment=darts_evidence", "trainer=debug", "trainer.limits.batches=1", "trainer.limits.test_images=20",
    "trainer.limits.cells=3", "space.nodes=1", "data.download=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def scripts():
    """The modules of the experiment, which import one another by their plain names."""
    if not FOLDER.is_dir():
        pytest.skip("experiments/ isn't part of the installed package")
    names = ("plan", "report", "evidence", "certified_forms")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield SimpleNamespace(**{name: import_module(name) for name in names})
        for name in names:
            sys.modules.pop(name)


def recipes_of(scripts):
    return scripts.plan.RECIPES["darts_evidence"]


@pytest.fixture(scope="module")
def tiny(scripts, tmp_path_factory):
    """(tasks, out, lines) of one search, its cell and a random one."""
    root, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    write_array_set(root, "cifar10")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSRNA_DATA", str(root))
        recipes = {"robust": recipes_of(scripts)["robust"]}
        tasks = list(scripts.plan.plan(recipes, searches=1, random_cells=1, trainings=1))
        scripts.evidence.work(tasks, out, TINY, TINY)
    return tasks, out, {line["name"]: line for line in lines_of(out)}


def lines_of(out):
    return [line for _, line in sys.modules["evidence"].read_lines(out / "evidence.jsonl", dict)]


@pytest.mark.slow
def test_everything_is_done_and_written_down_as_the_run_folders_have_it(tiny):
    tasks, out, lines = tiny
    assert [task.name for task in tasks] == list(lines) == ["robust_s0", "robust_s0_t0", "random0_of_robust_s0_t0"]
    for name in lines:
        assert re.search("data cifar10, threat .*, recipe cifar10: ", (out / name / "run.log").read_text())
    for name in list(lines)[1:]:
        network = read_json(out / name / "evaluation.json")["networks"]["retrain"]
        assert lines[name]["parameters"] == network["parameters"]
        assert lines[name]["clean"] == network["result"]["clean"]["accuracy"]
        attacked = {record["attack"]: record["accuracy"] for record in network["result"]["records"]}
        assert lines[name]["pgd20"] == attacked["pgd20"]
    searched, random = lines["robust_s0_t0"], lines["random0_of_robust_s0_t0"]
    assert searched["genotype"] == lines["robust_s0"]["genotype"]
    assert random["genotype"] == read_json(out / "random0_of_robust_s0.json") != searched["genotype"]
    assert abs(random["parameters"] / searched["parameters"] - 1) <= 0.1


def test_what_is_done_is_not_done_again_nor_what_another_process_is_at(scripts, tiny, monkeypatch):
    tasks, out, _ = tiny
    begun = []
    monkeypatch.setattr(scripts.evidence, "run_in", lambda *given: begun.append(given))
    before = (out / "evidence.jsonl").read_bytes()
    scripts.evidence.work(tasks, out, TINY, TINY)
    assert (out / "evidence.jsonl").read_bytes() == before
    another = scripts.plan.Search("none", 7)
    with held(out / another.name):
        assert not scripts.evidence.do(another, out, TINY)
    assert begun == []


def test_a_record_alone_suffices_for_further_trainings_of_its_cells(scripts, tiny, tmp_path, monkeypatch):
    _, out, lines = tiny
    (tmp_path / "evidence.jsonl").write_bytes((out / "evidence.jsonl").read_bytes())
    monkeypatch.setattr(scripts.evidence, "drawn", lambda *_: pytest.fail("a recorded cell is drawn again"))
    tasks = scripts.plan.plan(recipes_of(scripts), searches=1, random_cells=1, trainings=2)
    for task in filter(lambda task: task.name.endswith("_t1"), tasks):
        if task.search.name == "robust_s0":
            found = scripts.evidence.cell_of(task, tmp_path, TINY)
            assert scripts.evidence.genotype_codec.to_json(found) == lines[task.name.replace("_t1", "_t0")]["genotype"]


def test_the_first_of_everything_comes_before_the_second_of_anything(scripts):
    names = [task.name for task in scripts.plan.plan(recipes_of(scripts), searches=2, random_cells=4, trainings=2)]
    assert names[:9] == [
        *(f"{recipe}_s0" for recipe in ("robust", "none", "jacobian")),
        *(f"{recipe}_s0_t0" for recipe in ("robust", "none", "jacobian")),
        *(f"random0_of_{recipe}_s0_t0" for recipe in ("robust", "none", "jacobian")),
    ]
    assert len(names) == len(set(names)) == 6 + 2 * (6 + 4)
    fewer = [task.name for task in scripts.plan.plan(recipes_of(scripts), searches=1, random_cells=8, trainings=1)]
    assert {"random2_of_robust_s0_t0", "random2_of_none_s0_t0"} < set(fewer)
    assert len(fewer) == len(set(fewer)) == 3 + 3 + 8
    assert names.index("jacobian_s1_t0") < names.index("robust_s0_t1")
    assert [name for name in names if name.startswith("random") and "_s1" in name] == [
        "random0_of_robust_s1_t0", "random0_of_robust_s1_t1"
    ]  # fmt: skip


def line(name, recipe, parameters, pgd20, genotype):
    return {
        "name": name, "cell": name.partition("_t")[0], "kind": "training", "recipe": recipe, "parameters": parameters,
        "pgd20": pgd20, "clean": 0.5, "genotype": genotype,
    }  # fmt: skip


def test_trainings_of_a_cell_are_averaged_and_a_cell_found_twice_counts_once(scripts):
    lines = [
        line("robust_s0_t0", "robust", 1000, 0.3, "a"),
        line("robust_s0_t1", "robust", 1000, 0.4, "a"),
        line("robust_s1_t0", "robust", 1000, 0.3, "a"),
        line("none_s0_t0", "none", 2000, 0.2, "a"),
        {"name": "robust_s0", "kind": "search"},
    ]
    one, other = scripts.report.cells_of(lines, "pgd20")
    assert (one.name, one.value, one.trainings) == ("robust_s0", pytest.approx(0.35), 2)
    assert (other.name, other.log_parameters) == ("none_s0", pytest.approx(math.log(2000)))


@pytest.mark.parametrize(("above", "says"), [(0.05, "above random cells"), (0.0, "not above random cells")])
def test_the_verdict_is_two_standard_errors_above_the_line(scripts, capsys, above, says):
    sizes = [1000, 1100, 1300, 1700, 2000, 2400, 3000, 4000]
    noise = [0.002, -0.001, 0.001, -0.002, 0.001, 0.0, -0.002, 0.001]
    heights = [0.1 * math.log(size) - 0.5 for size in sizes]
    lines = [
        line(f"random0_of_robust_s{n}_t0", "random", size, height + off, f"r{n}")
        for n, (size, height, off) in enumerate(zip(sizes, heights, noise, strict=True))
    ]
    for n in range(3):
        lines.append(line(f"robust_s{n}_t0", "robust", sizes[n], heights[n] + above + noise[n], f"s{n}"))
    scripts.report.report(lines)
    printed = " ".join(capsys.readouterr().out.split())
    assert f": {says}" in printed
    (doubling, _) = re.findall(r"(\S+) points a doubling", printed)
    assert float(doubling) == pytest.approx(100 * 0.1 * math.log(2), abs=0.2)


def test_tightness_is_what_the_slope_takes_over_what_the_bound_takes(scripts):
    """Of a linear network, whose bounds are exact: 1, but where another class comes nearest within the ball."""
    weight = torch.randn(3, 72, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bias, eps, x = torch.tensor([0.3, 0.0, -0.2], dtype=torch.float64), 0.02, 0.25 + 0.5 * tiny_images()
    y, expected = torch.tensor([0, 1, 2, 0]), []
    for image, label in zip(x.flatten(1), y.tolist(), strict=True):
        logits, others = weight @ image + bias, [j for j in range(3) if j != label]
        margins, slopes = logits[label] - logits[others], (weight[label] - weight[others]).abs().sum(dim=1)
        nearest = margins.argmin()
        expected.append(torch.log(eps * slopes[nearest] / (margins[nearest] - (margins - eps * slopes).min())))
    found = scripts.certified_forms.Tightness(eps=eps)(linear_network(weight, bias), x, y)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-9)
    lowered = scripts.certified_forms.Lowered(eps=eps)(linear_network(weight, bias), x, y)
    assert torch.equal(lowered, -Certified(eps=eps)(linear_network(weight, bias), x, y))


def test_the_gradient_of_tightness_is_that_of_its_value(scripts, monkeypatch):
    monkeypatch.setattr(scripts.certified_forms, "DIFFERENCE_STEP", 1e-6)
    model, x, y = TinyMixedNetwork(readout=torch.relu), tiny_images(), torch.tensor([0, 1, 2, 0])
    metric = scripts.certified_forms.Tightness(eps=0.004)
    (gradient,) = torch.autograd.grad(metric(model, x, y).sum(), model.alphas)
    step, sums = 1e-6 * torch.randn(model.alphas.shape, generator=torch.Generator().manual_seed(1)).double(), []
    for sign in (1, -2):
        with torch.no_grad():
            model.alphas += sign * step
            sums.append(metric(model, x, y).sum())
    assert (gradient * step).sum().item() == pytest.approx(((sums[0] - sums[1]) / 2).item(), rel=1e-4)
