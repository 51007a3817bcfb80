"""Every experiment runs the whole pipeline on made-up images of the true shapes, in its debug form."""

import pytest

from dsrna.config.catalog import choices
from dsrna.config.compose import compose
from dsrna.json_files import read_json
from dsrna.run_folder import RunFolder
from dsrna.testing.data_roots import ARRAY_SETS, write_array_set, write_folder
from tests.thorough import thorough

EXPERIMENTS = choices("experiment")
RETRAINED = {"imagenet_transfer": "from=DARTS_V2"}
VERIFIED = {"certified_evidence", "certified_trainings", "digits_certified", "mnist_certified"}
QUICKLY = [f"evaluate.verify.{setting}" for setting in ("bisection_steps=2", "attack_steps=2", "attack_restarts=1")]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """All data sets that experiments name."""
    root = tmp_path_factory.mktemp("data")
    for name in ARRAY_SETS:
        write_array_set(root, name)
    write_folder(root / "imagenet", train_per_class=200)  # a hundredth of them is validated on
    return root


WALKED = {
    "cifar10_combined", "cifar10_robust", "cifar100_jacobian", "digits_certified", "fashion_mnist_jacobian",
    "imagenet_transfer",
}  # fmt: skip
"""Images of each size, few and many classes, and every stage. The others differ in settings, which
`tests/unit/config/test_conf_files.py` reads; NAS-Bench-201's and the headline's are walked by `test_readme.py`.
"""


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [name if name in WALKED else thorough(name) for name in EXPERIMENTS])
def test_an_experiment_runs_in_its_debug_form(experiment, data_root, command_line, tmp_path, monkeypatch):
    monkeypatch.setenv("DSRNA_DATA", str(data_root))
    given = [RETRAINED[experiment]] if experiment in RETRAINED else []
    stages = ["retrain", "evaluate"] if given else ["search", "retrain", "evaluate"]
    if "nodes" in compose("search", [f"+experiment={experiment}"]).space and not given:
        given = ["space.nodes=1"]
    given += QUICKLY if experiment in VERIFIED else []
    outcome = command_line(
        stages[0], f"+experiment={experiment}", "trainer=debug", *given,
        f"stages=[{','.join(stages)}]", "trainer.limits.test_images=2", "trainer.limits.batches=1",
        "evaluate.eps_curve=[0.01]", "search.random_cells=0", "retrain.selection_steps=1", "data.download=false",
        f"out={tmp_path}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.text
    (path,) = tmp_path.iterdir()
    assert experiment in path.name
    folder = RunFolder.open(path)
    assert folder.is_complete
    assert set(folder.read_run()["stages"]) >= set(stages)
    networks = read_json(folder.evaluation_json)["networks"]
    result = networks["retrain"]["result"]
    assert {record["attack"] for record in result["records"]} == {"fgsm", "pgd20", "worst_case"}
    verified = [network.get("verification") is not None for network in networks.values()]
    assert verified == [experiment in VERIFIED] * len(networks)
    assert {record["stage"] for record in folder.read_metrics()} >= set(stages) - {"evaluate"}
