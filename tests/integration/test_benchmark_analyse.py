"""`python -m dsrna.benchmark analyse` on made-up tables in the original layouts."""

import json

import pytest

from dsrna.benchmark import main
from dsrna.benchmarks.classes import representatives
from dsrna.benchmarks.nas_robbench_201 import FILE_NAME
from dsrna.testing.made_up_tables import share, write_adversarial, write_standard

CLASSES = representatives().tolist()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tables(tmp_path):
    """Of this test's own: one of them damages them."""
    root = tmp_path / "tables"
    write_adversarial(root, CLASSES)
    write_standard(root, CLASSES)
    return root


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["analyse", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_page_pictures_and_numbers(tables, tmp_path, capsys, drawn):
    out = tmp_path / "new" / "out"
    with drawn():
        main(["analyse", "--tables", str(tables), "--out", str(out)])
    printed = capsys.readouterr()
    assert "Beside the published numbers" in printed.out
    assert f"report: {out / 'report.html'}" in printed.err
    document = json.loads((out / "analysis.json").read_text())
    assert [table["headline"] for table in document["tables"]] == ["pgd 8/255", "pgd 1/255"]
    (best,) = [entry for entry in document["findings"] if "best clean" in entry["what"]]
    assert best["here"] == [max(share(index, 1) for index in CLASSES)]
    assert len(document["agreements"]) == 2 * 3
    pictures = sorted(path.stem for path in (out / "plots").glob("*.png"))
    kinds = ("correlations", "operations_clean", "operations_pgd_8_255", "robust_against", "spreads")
    assert [name.removeprefix("adversarial_") for name in pictures if name.startswith("adv")] == list(kinds)
    assert {"agreement", "standard_corruptions", "standard_everything"} <= set(pictures)
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "Left out" not in page


@pytest.mark.slow
@pytest.mark.parametrize("there", [write_adversarial, write_standard])
def test_one_table_is_enough_and_the_other_is_named(there, tmp_path, capsys):
    there(tmp_path / "tables", CLASSES)
    main(["analyse", "--tables", str(tmp_path / "tables"), "--out", str(tmp_path / "out")])
    missing = FILE_NAME if there is write_standard else "meta.json"
    assert missing in capsys.readouterr().err
    document = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert len(document["tables"]) == 1
    assert document["agreements"] == []
    assert missing in (tmp_path / "out" / "report.html").read_text()


def test_bad_input_is_told_before_anything_is_written(tables, tmp_path, capsys):
    out = tmp_path / "out"
    given = ["--tables", str(tables), "--out", str(out)]
    error = refused(capsys, *given, "--dataset", "cifar11")
    assert "cifar11" in error
    assert "cifar10" in error
    error = refused(capsys, *given, "--dataset", "cifar100")
    assert "no results on cifar100" in error
    error = refused(capsys, "--tables", str(tmp_path / "nowhere"), "--out", str(out))
    assert "nowhere" in error
    (tmp_path / "empty").mkdir()
    error = refused(capsys, "--tables", str(tmp_path / "empty"), "--out", str(out))
    assert FILE_NAME in error
    assert "meta.json" in error
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, "--tables", str(tables), "--out", str(tmp_path / "file"))
    path = tables / "robustness-data" / "cifar10" / "pgd@Linf_accuracy.json"
    path.write_bytes(path.read_bytes()[:-100])
    assert "pgd@Linf_accuracy.json" in refused(capsys, *given)
    assert not out.exists()


@pytest.mark.parametrize("arguments", [[], ["analyze"], ["analyse", "--eps", "1"]])
def test_a_command_line_that_makes_no_sense_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "analyse" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "analyse" in capsys.readouterr().out
