"""A model card says what the run's files say, and hides neither doubts nor gaps."""

import dataclasses
import re
from html import unescape

import pytest
import yaml

from dsrna.errors import CheckpointError
from dsrna.report.model_card import Published, model_card
from dsrna.report.run_data import RunData
from dsrna.testing.run_folders import build_run_folder, example_genotype

NETWORK = Published(
    name="small|net", title="adversarial training (PGD-7)", stage="retrain", shape=(1, 8, 8), classes=10,
    parameters=123456, genotype=example_genotype(), pictures={"Normal cell": "cell_normal.png"}, licence="cc-by-4.0",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return RunData.read(build_run_folder(tmp_path_factory.mktemp("run") / "run"))


def sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)\n", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    lines = [unescape(line).strip("| ") for line in section.splitlines() if line.startswith("|")]
    return [re.split(r" (?<!\\)\| ", line) for line in lines[2:]]


def test_every_accuracy_and_interval_is_that_of_the_evaluation(data):
    found = rows(sections(model_card(data, NETWORK))["Accuracy"])
    result = data.evaluation["networks"]["retrain"]["result"]
    expected = [result["clean"], *result["records"]]
    assert [row[0] for row in found][1 : len(expected)] == [record["label"] for record in result["records"]]
    for row, record in zip(found, expected, strict=False):
        assert row[1] == f"{100 * record['accuracy']:.1f}\u202f%"
        low, high = (f"{100 * end:.1f}" for end in record["interval"])
        assert row[2] == f"{low}\u2013{high}\u202f%"
    assert any(row[0].startswith("Certified") for row in found)
    baseline = data.evaluation["networks"]["baseline"]["result"]["clean"]["accuracy"]
    assert [row[1] for row in found].count(f"{100 * baseline:.1f}\u202f%") == 0, "of another network"


def test_the_front_matter_is_read_as_the_hub_reads_it(data, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(model_card(data, dataclasses.replace(NETWORK, name="net")))
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "dsrna")
    clean, worst = card.data.eval_results
    result = data.evaluation["networks"]["retrain"]["result"]
    assert clean.metric_value == pytest.approx(result["clean"]["accuracy"], abs=1e-6)
    assert worst.metric_value == pytest.approx(min(one["accuracy"] for one in result["records"]), abs=1e-6)
    assert "AutoAttack" in worst.metric_name
    assert clean.dataset_name == data.evaluation["data"]
    front = model_card(data, dataclasses.replace(NETWORK, licence=None)).split("---\n")[1]
    assert "license" not in yaml.safe_load(front)


def test_verdicts_of_the_checks_and_a_failed_one_among_the_limits(data):
    passed = sections(model_card(data, NETWORK))
    verdicts = [row[1] for row in rows(passed["Checks for gradient masking"])]
    assert verdicts == [one["state"] for one in data.evaluation["networks"]["retrain"]["result"]["checks"]]
    assert "overestimated" not in passed["Known limits"]
    failed = sections(model_card(data, dataclasses.replace(NETWORK, stage="baseline")))
    assert "probably overestimated" in failed["Known limits"]
    assert "At a very large eps" in failed["Known limits"]


def test_what_is_not_known_is_said(tmp_path):
    trained = RunData.read(build_run_folder(tmp_path / "a", ["retrain"], rehearsal=True))
    found = sections(model_card(trained, dataclasses.replace(NETWORK, genotype=None, pictures={})))
    assert "hasn't been evaluated" in found["Accuracy"]
    assert "Nothing is known of its robustness" in found["Known limits"]
    assert "rehearsal" in found["Known limits"]
    evaluated = RunData.read(build_run_folder(tmp_path / "b", ["evaluate"]))
    entry = evaluated.evaluation["networks"]["retrain"]
    entry["result"]["records"] = [one for one in entry["result"]["records"] if one["attack"] != "autoattack"]
    entry["verification"] = entry["smoothing"] = None
    found = sections(model_card(evaluated, NETWORK))
    assert "AutoAttack wasn't run" in found["Known limits"]
    assert found["What is proved"].startswith("\nNothing.")
    assert "another run" in found["Data and recipe"]


def test_the_recipe_is_the_runs_without_the_folders_of_its_machine(data):
    places = "load_arrays\n    path: /home/somebody/mine.npz\n  root: /data\n"
    config = data.config_text.replace("load_digits\n", places)
    recipe = sections(model_card(dataclasses.replace(data, config_text=config), NETWORK))["Data and recipe"]
    found = yaml.safe_load(re.search(r"```yaml\n(.*)```", recipe, re.DOTALL)[1])
    expected = yaml.safe_load(data.config_text)
    assert found["data"] == {"source": {"_target_": "dsrna.data.digits.load_arrays", "path": "mine.npz"}}
    assert (found["threat"], found["objective"], found["seed"]) == (expected["threat"], expected["objective"], 3)
    assert found.keys() <= {"seed", "data", "threat", "retrain", "objective"}
    with pytest.raises(CheckpointError, match=r"config.yaml is damaged"):
        model_card(dataclasses.replace(data, config_text="a: ["), NETWORK)


def test_names_of_others_are_no_markup(data):
    card = model_card(data, dataclasses.replace(NETWORK, name="<script>x</script>\n# b", title="<b>"))
    body = card.split("---\n", 2)[2]
    assert "<" not in re.sub(r"```.*?```", "", body, flags=re.DOTALL)
    assert body.count("\n# ") == 1
