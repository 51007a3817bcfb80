"""Strategies, regularisers and hypergradients compose on the command line, and what makes no sense is refused."""

from itertools import product

import pytest

from dsrna.config.catalog import choices
from dsrna.config.compose import compose, settings_from
from dsrna.config.validate import validate
from dsrna.errors import ConfigError
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec

HYPERGRADIENTS = choices("hypergradient")
LOGITS = "beta_decay acts on the logits of a softmax, and the alphas of"
REFUSED = {
    ("gaea", "beta_decay"): f"{LOGITS} GaeaArchitecture are the logarithms of probabilities",
    ("drnas", "beta_decay"): f"{LOGITS} DrnasArchitecture are those of Dirichlet distributions",
    ("fair", "beta_decay"): f"{LOGITS} FairArchitecture are logits of one operation each",
    ("gdas", "sdarts"): "GdasArchitecture draws one operation of weight 1 an edge",
    ("uniform", "sdarts"): "UniformArchitecture draws one operation of weight 1 an edge",
}


@pytest.fixture(scope="module")
def regularisers():
    """Name -> the part's node."""
    return settings_from(compose("search", [f"regulariser=[{','.join(choices('regulariser'))}]"])).regulariser


@pytest.fixture(scope="module")
def hypergradients():
    """The parts' nodes."""
    return [settings_from(compose("search", [f"hypergradient={name}"])).hypergradient for name in HYPERGRADIENTS]


@pytest.mark.parametrize("space", ["darts", "nasbench201"])
@pytest.mark.parametrize("strategy", choices("strategy"))
def test_every_combination_is_valid_or_refused_with_its_reason(strategy, space, regularisers, hypergradients):
    metric = ["metric=none"] if strategy == "uniform" else []  # whose architecture steps don't move anything
    settings = settings_from(compose("search", [f"strategy={strategy}", f"space={space}", *metric]))
    for hypergradient, (name, node) in product(hypergradients, regularisers.items()):
        chosen = settings.model_copy(update={"regulariser": {name: node}, "hypergradient": hypergradient})
        if (strategy, name) in REFUSED:
            with pytest.raises(ConfigError, match=REFUSED[strategy, name]):
                validate(chosen)
        else:
            validate(chosen)


def test_the_refusals_are_of_parts_that_there_are():
    assert set(REFUSED) <= set(product(choices("strategy"), choices("regulariser")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        ["strategy=gaea", "regulariser=[auxiliary_skip,entropy]", "hypergradient=unrolled", "space=nasbench201"],
        ["strategy=gaea", "strategy.edge_normalization=true", "strategy.partial_channels=2", "space.nodes=1"],
        ["strategy=drnas", "regulariser=[operation_dropout]", "hypergradient=unrolled", "space.nodes=1"],
        ["strategy=fair", "regulariser=[zero_one,sdarts]", "space=nasbench201"],
        ["strategy=snas", "regulariser=[beta_decay,sdarts]", "regulariser.sdarts.perturbation=adversarial",
         "space.nodes=1"],
        ["strategy=gdas", "regulariser=[skip_dropout,beta_decay]", "hypergradient=unrolled",
         "hypergradient.derivative=finite_difference", "space=nasbench201"],
    ],
    ids=lambda chosen: chosen[0],
)  # fmt: skip
def test_searches_run_to_their_genotype(command_line, tmp_path, chosen):
    few = ["trainer=debug", "trainer.limits.batches=1", "search.random_cells=0", "stages=[search]", "metric=none"]
    outcome = command_line("search", *chosen, *few, f"out={tmp_path}")
    assert outcome.status == 0, outcome.text
    (path,) = tmp_path.iterdir()
    assert genotype_codec.load(RunFolder.open(path).genotype_json).space in ("darts", "nasbench201")
