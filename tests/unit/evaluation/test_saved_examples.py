"""The images that attacks end with are kept as they were judged."""

import json

import numpy as np
import pytest
import torch

from dsrna.evaluation import FoolboxFGSM, FoolboxPGD, evaluate
from dsrna.evaluation.saved_examples import SavedExamples, saved_bytes
from dsrna.testing.attack_conformance import tiny_classifier
from dsrna.types import Threat
from tests.unit.evaluation.test_evaluator import Images


@pytest.mark.slow
def test_saved_images_give_the_outcomes_and_lie_in_the_ball(tmp_path):
    data, model, threat = Images(), tiny_classifier().eval(), Threat("linf", 0.05)
    result = evaluate(
        model, data, [FoolboxFGSM(), FoolboxPGD(steps=3, images=10)], threat, seed=0, batch_size=8, folder=tmp_path,
        eps_curve=[0.1], save_examples=True,
    )  # fmt: skip
    folder = tmp_path / "examples"
    correct = json.loads((tmp_path / "clean.json").read_text())["outcomes"]
    for key, images in (("fgsm", 25), ("pgd3", 10)):
        outcomes = json.loads((tmp_path / f"{key}_linf_0.05.json").read_text())["outcomes"]
        files = [np.load(path) for path in sorted(folder.glob(f"{key}_linf_0.05_*.npz"))]
        indices, examples, labels = (np.concatenate([one[name] for one in files]) for name in files[0].files)
        assert indices.tolist() == [place for place in range(images) if correct[place] == "1"]
        examples = torch.from_numpy(examples)
        assert ((examples - data.x[indices]).abs().amax() <= 0.05 + 1e-6).all()
        assert (examples != data.x[indices]).any()
        standing = model(examples).argmax(1) == data.y[indices]
        assert standing.tolist() == [outcomes[place] == "1" for place in indices]
        assert labels.tolist() == data.y[indices].tolist()
    assert {path.name.split("_")[0] for path in folder.iterdir()} == {"fgsm", "pgd3"}  # neither curve nor checks
    written = sum(np.load(path)["examples"].nbytes for path in folder.iterdir())
    assert written <= saved_bytes(25, 72, 2)
    assert result["records"][0]["images"] == 25


def test_a_batch_without_images_writes_nothing(tmp_path):
    SavedExamples(tmp_path, "fgsm").save(torch.empty(0, dtype=torch.int64), torch.empty(0, 1, 2, 2), torch.empty(0))
    assert not list(tmp_path.iterdir())
