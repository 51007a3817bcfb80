"""report.html says what the run folder holds, escapes it, needs nothing from outside, and copes with missing parts."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dsrna.errors import CheckpointError, ConfigError
from dsrna.files import write_json
from dsrna.json_files import read_json
from dsrna.report import write_report
from dsrna.report.corruptions import corruption_rows
from dsrna.report.headline import headline
from dsrna.report.masking import TITLES
from dsrna.report.results import result_rows, strongest
from dsrna.report.run_data import RunData
from dsrna.run_folder import RunFolder
from dsrna.spaces.genotype_codec import from_json
from dsrna.spaces.notation.reading import parse
from dsrna.spaces.notation.writing import published_text
from dsrna.testing.evaluations import example_evaluation
from dsrna.testing.run_folders import CONFIG_TEXT, build_run_folder, example_genotype


class Page(HTMLParser):
    """Cells of all tables, addresses, text of tags."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open, "every tag is closed"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "poster", "data")]
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += " ".join(data.split()) + "|"

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row and row[0].startswith(first + "|"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, drawn: Any) -> RunFolder:
    folder = build_run_folder(tmp_path_factory.mktemp("run") / "run", epochs=3)
    with drawn():
        write_report(folder.path)
    return folder


@pytest.fixture(scope="module")
def page(folder: RunFolder) -> Page:
    return Page(folder.report_html)


@pytest.mark.slow
def test_the_table_holds_the_numbers_of_the_evaluation(page: Page, folder: RunFolder) -> None:
    networks = read_json(folder.evaluation_json)["networks"]
    labels = {"Clean": "No attack (clean)"}
    for position in range(6):
        records = []
        for network in networks.values():
            result = network["result"]
            records.append([result["clean"], *result["records"]][position])
        row = page.row(labels.get(records[0]["label"], records[0]["label"]))
        for record, cell in zip(records, row[1:], strict=True):
            accuracy, low, high = (float(number) for number in re.findall(r"\d+\.\d", cell))
            assert accuracy == pytest.approx(100 * record["accuracy"], abs=0.051)
            assert [low, high] == pytest.approx([100 * bound for bound in record["interval"]], abs=0.051)


def test_every_number_says_how_it_was_got(page: Page) -> None:
    assert "dsrna 0.1.0 · 100 steps of 0.025 · 5 restarts · seed 0 · 360 images" in page.row("PGD-100")[0]
    assert "pyautoattack 0.2.0 · 100 steps · 1 restart · seed 0 · 360 images" in page.row("AutoAttack")[0]
    assert "step" not in page.row("No attack (clean)")[0]


def test_what_is_proved_stands_below_the_attacks_and_in_a_table_of_radii(page: Page, folder: RunFolder) -> None:
    networks = read_json(folder.evaluation_json)["networks"].values()
    row = page.row("Certified: proved for every point of the ball")
    assert "IBP, CROWN · the first 200 images" in row[0]
    for network, cell in zip(networks, row[1:], strict=True):
        (point,) = [point for point in network["verification"]["curve"] if point["eps"] == 0.1]
        share, low, high = (float(number) for number in re.findall(r"\d+\.\d", cell))
        assert share == pytest.approx(100 * point["certified"], abs=0.051)
        assert [low, high] == pytest.approx([100 * bound for bound in point["certified_interval"]], abs=0.051)
    rows = [row for row in page.rows if row and "CROWN proved 150 · 3 stopped: time limit" in row[0]]
    assert [[float(re.findall(r"\d\.\d+", cell)[0]) for cell in row[1:]] for row in rows] == [
        pytest.approx([network["verification"]["radius"][key] for key in ("mean", "attacked_mean")], rel=1e-3)
        for network in networks
    ]


def test_accuracy_on_corrupted_images_has_a_table_of_its_own(page: Page, folder: RunFolder) -> None:
    assert "Common corruptions" in page.text
    networks = read_json(folder.evaluation_json)["networks"].values()
    rows = [row for row in page.rows if row and "300 images each · worst: fog at severity 5" in row[0]]
    assert [[float(re.findall(r"\d+\.\d", cell)[0]) for cell in (*row[1:3], *row[4:])] for row in rows] == [
        pytest.approx(
            [100 * share * network["result"]["clean"]["accuracy"] for share in (1, 0.7, 0.85, 0.55)], abs=0.051
        )
        for network in networks
    ]


def test_smoothed_classifiers_have_a_table_of_their_own(page: Page, folder: RunFolder) -> None:
    networks = read_json(folder.evaluation_json)["networks"].values()
    rows = [row for row in page.rows if row and "sigma 0.25 · 10,000 copies" in row[0]]
    numbers = [[float(re.findall(r"\d+\.\d+", cell)[0]) for cell in row[1:]] for row in rows]
    assert numbers == [
        pytest.approx(
            [100 * one["correct"], 3.0, *(100 * point["certified"] for point in one["curve"]), one["radius"]], abs=0.051
        )
        for one in (network["smoothing"] for network in networks)
    ]


@pytest.mark.slow
def test_where_the_threat_is_in_l2_what_smoothing_certifies_stands_beside_the_attacks(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("evaluate",))
    evaluation = example_evaluation(0.7)
    for eps, rows in ((0.5, 1), (0.6, 0)):
        evaluation["threat"] = {"norm": "l2", "eps": eps}
        write_json(folder.evaluation_json, evaluation)
        found = [row for row in Page(write_report(folder.path)).rows if row and "smoothed classifier" in row[0]]
        assert len(found) == rows
        if found:
            shares = [float(re.findall(r"\d+\.\d", cell)[0]) for cell in found[0][1:]]
            assert shares == pytest.approx([35.0, 8.75], abs=0.051)


def test_the_mean_corruption_error_says_what_it_is_divided_by() -> None:
    evaluation = example_evaluation()
    ours, theirs = (network["corruptions"] for network in evaluation["networks"].values())
    ours["mce"] = {"value": 0.7412, "normaliser": "alexnet", "errors": {}}
    theirs["mce"] = {"value": 0.263, "normaliser": None, "errors": {}}
    assert [row.mce for row in corruption_rows(evaluation)] == ["74.1\u202f% of AlexNet's", "26.3\u202f%"]
    del ours["mce"]  # of an older dsrna
    assert corruption_rows(evaluation)[0].mce == "\u2013"


def test_without_corruptions_the_page_does_not_speak_of_them(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("evaluate",))
    evaluation = example_evaluation()
    evaluation["networks"]["retrain"]["corruptions"] = None
    del evaluation["networks"]["baseline"]["corruptions"]  # as older runs have it
    write_json(folder.evaluation_json, evaluation)
    assert "ommon corruptions" not in Page(write_report(folder.path)).text


@pytest.mark.slow
def test_without_verification_the_page_does_not_speak_of_it(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("evaluate",))
    evaluation = example_evaluation()
    for network in evaluation["networks"].values():
        network["verification"] = network["smoothing"] = None
    del evaluation["networks"]["baseline"]["verification"]  # as older runs have it
    write_json(folder.evaluation_json, evaluation)
    page = Page(write_report(folder.path))
    assert "roved" not in page.text
    assert "ertified" not in page.text


def test_further_threats_have_rows_and_a_sentence_but_not_the_headline() -> None:
    evaluation = example_evaluation()
    result = evaluation["networks"]["retrain"]["result"]
    other = {"norm": "l2", "eps": 0.5}
    result["further"] = [result["records"][1] | other | {"accuracy": 0.31}]
    result["further"].append(result["further"][0] | {"attack": "worst_case", "attacks": ["pgd20"], "accuracy": 0.29})
    rows = [(row.label, row.threat) for row in result_rows(evaluation)]
    assert rows[-2:] == [("PGD-20", "\u21132, eps 0.5"), ("PGD-20", "\u21132, eps 0.5")]
    worst = strongest(evaluation, "retrain")
    assert worst is not None
    assert worst["label"] == "AutoAttack"
    data = RunData({}, "", [], [], None, None, evaluation)
    assert "In \u21132, eps 0.5, 29.0\u202f% stay correct." in headline(data)


def test_nothing_comes_from_outside(page: Page) -> None:
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    without_pictures = re.sub(r'src="data:[^"]*"', "", page.source)
    assert not re.search(r"https?:|@import|url\(|srcset", without_pictures)
    assert "script" not in page.tags
    assert "default-src 'none'" in page.source


def test_the_pictures_in_the_page_are_those_in_plots(page: Page, folder: RunFolder) -> None:
    embedded = {base64.b64decode(address.partition(",")[2]) for address in page.addresses}
    written = {path.read_bytes() for path in folder.plots_dir.glob("*.png")}
    assert len(written) == 11
    assert embedded == written


def test_headline_gives_the_result_in_words(folder: RunFolder) -> None:
    searched, clean, robust, proved, baseline = headline(RunData.read(folder))
    assert searched == "Cells of the darts space were searched by pcdarts with the metric jacobian, in 3 epochs."
    assert "97.2\u202f% of 360 test images" in clean
    assert robust.startswith("67.2\u202f% stay correct when an adversary may change every pixel value by up to 0.1")
    assert "the strongest of 5 attacks, AutoAttack" in robust
    assert proved.startswith("Of the first 200 test images, 1.3\u202f% are proved to stay correct")
    assert baseline == "The same network with standard training keeps 16.8\u202f%."


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize("failed", [0, 1, 2])
def test_a_failed_check_is_told_beside_the_headline(tmp_path: Path, failed: int) -> None:
    folder = build_run_folder(tmp_path, ("evaluate",))
    evaluation = example_evaluation()
    checks = evaluation["networks"]["retrain"]["result"]["checks"]
    for check in checks[:failed]:
        check["state"] = "failed"
    write_json(folder.evaluation_json, evaluation)
    sentences = headline(RunData.read(RunFolder(folder.path)))
    told = [sentence for sentence in sentences if "probably overestimates robustness" in sentence]
    page = Page(write_report(folder.path)).text
    assert len(told) == page.count("probably overestimates robustness") == bool(failed)
    assert page.count("probably too high") == bool(failed)
    for check in checks[:failed]:
        assert TITLES[check["check"]] in told[0]
    if told:
        assert "stay correct when" in sentences[sentences.index(told[0]) - 1]


def test_headline_in_l2_speaks_of_distance(folder: RunFolder) -> None:
    data = RunData.read(folder)
    assert data.evaluation is not None
    data.evaluation["threat"] = {"norm": "l2", "eps": 0.5}
    for network in data.evaluation["networks"].values():
        for record in network["result"]["records"]:
            record |= {"norm": "l2", "eps": 0.5}
    assert "Euclidean distance of up to 0.5" in headline(data)[2]


def test_page_says_how_to_reproduce(page: Page, folder: RunFolder) -> None:
    run = folder.read_run()
    assert run["command"] in page.text
    assert page.row("seed")[1] == "3|"
    assert f"torch {run['versions']['torch']}" in page.row("versions")[1]
    assert page.row("search")[1] == "done, 1 min 2 s|"
    assert CONFIG_TEXT.strip() in page.text


def test_every_masking_check_is_listed_as_passed_failed_or_not_run(page: Page, folder: RunFolder) -> None:
    text = " ".join(page.text.split())
    assert "adversarial training (PGD-7): 4 passed, 1 not run" in text
    assert "standard training: 3 passed, 1 failed, 1 not run" in text
    networks = read_json(folder.evaluation_json)["networks"].values()
    listed = [tuple(cell.rstrip("|") for cell in row) for row in page.rows if len(row) == 3 and row[0].rstrip("|") in
              TITLES.values()]  # fmt: skip
    assert listed == [
        (TITLES[check["check"]], check["state"], check["message"])
        for network in networks
        for check in network["result"]["checks"]
    ]
    assert "sign of gradient masking" not in text


@pytest.mark.usefixtures("text_alone")
def test_what_an_older_evaluation_did_not_note_is_not_known(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("evaluate",))
    evaluation = example_evaluation()
    warning = {"check": "steps", "message": "PGD-20 leaves less than PGD-100"}
    for network, warnings in zip(evaluation["networks"].values(), ([], [warning]), strict=True):
        del network["result"]["checks"], network["result"]["guessing"]
        network["result"]["warnings"] = warnings
    write_json(folder.evaluation_json, evaluation)
    page = Page(write_report(tmp_path))
    assert page.text.count("not which were run") == 2
    assert "passed," not in page.text
    assert [row[1:] for row in page.rows if row and row[0] == TITLES["steps"] + "|"] == [
        ["failed|", "PGD-20 leaves less than PGD-100|"]
    ]


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize(("low", "chance"), [(0.10, True), (0.1028, False), (0.104, False)])
def test_a_network_at_chance_is_called_so(tmp_path: Path, low: float, chance: bool) -> None:
    """37 of the 360 images, 10.28 %, are of the most frequent class."""
    folder = build_run_folder(tmp_path, ("evaluate",))
    evaluation = example_evaluation()
    evaluation["networks"]["retrain"]["result"]["clean"] |= {"accuracy": 0.125, "interval": [low, 0.16]}
    write_json(folder.evaluation_json, evaluation)
    text = " ".join(Page(write_report(tmp_path)).text.split())
    said = "adversarial training (PGD-7) is at chance level: without attack it gets 12.5 % of 360 images right"
    assert (said in text) == chance
    assert ("guessing gets 10.3 %. Its accuracies under attack say nothing" in text) == chance


@pytest.mark.slow
@pytest.mark.usefixtures("text_alone")
def test_a_run_that_did_not_search_shows_no_strategy_and_no_metric(tmp_path: Path) -> None:
    """Its config has them, as every config does, but nothing was done with them."""
    build_run_folder(tmp_path / "retrained", ("retrain", "evaluate"))
    build_run_folder(tmp_path / "evaluated", ("evaluate",))
    build_run_folder(tmp_path / "searched", ("search",))
    settings = {}
    for name in ("retrained", "evaluated", "searched"):
        page = Page(write_report(tmp_path / name))
        known = ("strategy", "metric", "metric weight", "training objective", "threat model")
        settings[name] = {row[0].rstrip("|") for row in page.rows if row and row[0].rstrip("|") in known}
    assert settings == {
        "retrained": {"training objective", "threat model"},
        "evaluated": {"threat model"},
        "searched": {"strategy", "metric", "metric weight", "threat model"},
    }


@pytest.mark.usefixtures("text_alone")
def test_a_rehearsal_is_marked_at_the_top(tmp_path: Path, page: Page) -> None:
    rehearsal = Page(write_report(build_run_folder(tmp_path / "run", rehearsal=True, epochs=1).path))
    assert "Rehearsal." in rehearsal.text
    assert headline(RunData.read(RunFolder(tmp_path / "run")))[0].startswith("A rehearsal")
    assert "do not quote its numbers" in rehearsal.text
    assert "ehearsal" not in page.text
    empty = build_run_folder(tmp_path / "empty", (), rehearsal=True)
    assert headline(RunData.read(empty))[-1] == "This run has no results yet."


@pytest.mark.usefixtures("text_alone")
def test_numbers_of_fewer_images_say_so(tmp_path: Path) -> None:
    evaluation = example_evaluation()
    for network in evaluation["networks"].values():
        network["result"]["records"][-1] |= {"images": 30, "accuracy": 0.1}
    folder = build_run_folder(tmp_path / "few", ("evaluate",))
    write_json(folder.evaluation_json, evaluation)
    page = Page(write_report(folder.path))
    assert "the strongest of 4 attacks, C&W" in page.text  # AutoAttack saw 30 images, which aren't all
    assert "360 test images" in page.text
    assert "proved (\u2113\u221e, eps 0.1), first 200 images" in page.text
    for network in evaluation["networks"].values():
        network["result"]["records"] = network["result"]["records"][-1:]
    write_json(folder.evaluation_json, evaluation)
    text = Page(write_report(folder.path)).text
    assert "(AutoAttack, on the first 30 images)" in text
    assert "eps 0.1), first 30 images" in text


@pytest.mark.usefixtures("text_alone")
def test_what_a_sweep_maximises_is_shown_by_its_name(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, epochs=1)
    write_json(folder.run_json, folder.read_run() | {"objective": {"name": "retrain/val/acc_adv", "value": 0.662}})
    assert Page(write_report(tmp_path)).row("sweep objective")[1] == (
        "retrain/val/acc_adv, on validation images: 66.2 %|"
    )


def test_the_epoch_of_the_evaluated_weights_is_named(page: Page) -> None:
    assert "retrain/best.ckpt (epoch 1), standard training: baseline/best.ckpt (epoch 1)" in page.row("checkpoints")[1]


def test_the_published_notation_reads_back(page: Page) -> None:
    genotype = example_genotype()
    text = published_text(genotype)
    assert text in page.text
    assert parse(text) == from_json(genotype)


@pytest.mark.usefixtures("text_alone")
def test_text_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"&"
    folder = build_run_folder(tmp_path, overrides=[f"name={evil}"], command=f"python {evil}", epochs=1)
    folder.config_yaml.write_text(f"name: {evil}\nseed: </pre>{evil}\n")
    evaluation = example_evaluation()
    evaluation["data"] = evil
    network = evaluation["networks"]["retrain"]
    network["title"] = network["checkpoint"] = evil
    network["result"]["checks"] = [{"check": evil, "state": "failed", "message": evil}]
    network["result"]["records"][0]["label"] = evil
    write_json(folder.evaluation_json, evaluation)
    genotype = example_genotype()
    genotype["cells"]["normal"]["nodes"][0][0][0] = "<b>op</b>"
    write_json(folder.genotype_json, genotype)

    page = Page(write_report(tmp_path))
    assert "script" not in page.tags
    assert "<b>op" not in page.source
    assert page.text.count(evil) >= 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "shown", "hidden"),
    [
        (("search",), ("The genotype", "The search"), ("Results", "Training of")),
        (("retrain",), ("Training of", "has not been evaluated"), ("Results", "The genotype", "The search")),
        (("evaluate",), ("Results",), ("The genotype", "The search", "Training of")),
        ((), ("This run has no results yet.", "How to reproduce"), ("Results", "The genotype", "The search")),
    ],
)
def test_a_run_that_did_less_shows_what_there_is(
    tmp_path: Path, parts: tuple[str, ...], shown: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    page = Page(write_report(build_run_folder(tmp_path, parts, epochs=1).path))
    headings = page.text
    assert all(text in headings for text in shown)
    assert not any(text in headings for text in hidden)


@pytest.mark.slow
def test_an_unfinished_run_says_so_and_survives_a_half_written_line(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("search", "retrain"), epochs=2)
    folder.set_stage("retrain", "interrupted")
    with folder.metrics_jsonl.open("ab") as file:
        file.write(b'{"stage": "retrain", "epo')
    assert "not finished: retrain is interrupted" in Page(write_report(tmp_path)).text


@pytest.mark.slow
def test_a_report_can_be_drawn_again(folder: RunFolder, drawn: Any) -> None:
    before = folder.report_html.read_bytes()
    with drawn():
        write_report(folder.path)
    assert folder.report_html.read_bytes() == before


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"run\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", ["evaluation.json", "genotype.json", "search/architecture.json"])
def test_a_damaged_part_is_named(tmp_path: Path, name: str) -> None:
    folder = build_run_folder(tmp_path, epochs=1)
    (folder.path / name).write_bytes((folder.path / name).read_bytes()[:50])
    with pytest.raises(CheckpointError, match=re.escape(name)):
        write_report(tmp_path)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    folder = build_run_folder(tmp_path, ("evaluate",))
    folder.plots_dir.write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="out="):
        write_report(tmp_path)
