"""Networks that others trained and measured, on a few images; the whole numbers are in experiments/known_certified."""

import importlib.util
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("DSRNA_DATA", ""))
NETS = Path(os.environ.get("DSRNA_NETS", DATA / "nets"))
SCRIPT = Path(__file__).resolve().parents[3] / "experiments" / "known_certified" / "measure.py"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(
        not (DATA / "MNIST").is_dir() or not (NETS / "kw_mnist.pth").is_file(),
        reason="set $DSRNA_DATA to a data root with MNIST, and $DSRNA_NETS to a folder with the published networks",
    ),
]


@pytest.fixture(scope="module")
def known():
    spec = importlib.util.spec_from_file_location("measure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_provable_network_has_proofs_and_crown_has_no_fewer_than_ibp(known, tmp_path):
    network = known.wong_kolter(NETS / "kw_mnist.pth")
    ibp, crown = known.certified_errors(network, known.test_images(DATA, 10), ["ibp", "crown"], tmp_path)
    assert ibp["pgd_error"] == crown["pgd_error"] <= crown["certified_error"] <= ibp["certified_error"]
    assert crown["certified_error"] <= 0.2, "5.8 % on the whole test split"


def test_adversarial_training_withstands_what_breaks_the_standard_network(known):
    images = known.test_images(DATA, 20)
    success = {}
    for training, file in known.LENET5.items():
        result = known.attack_success(known.lenet5(NETS / file), images)
        assert result["clean_accuracy"] >= 0.95
        success[training] = result["attack_success"]
    assert success["standard"] == 1.0, "100 % on the whole test split"
    assert success["adversarial"] <= 0.2, "6.8 % on the whole test split"
