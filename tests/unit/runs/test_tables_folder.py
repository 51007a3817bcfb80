"""Every command looks for the published tables in the data root, or where it is told to."""

from types import SimpleNamespace

import pytest

from dsrna.errors import DataError
from dsrna.querying.columns import Columns
from dsrna.ranking.run import published_columns
from dsrna.ranking.settings import TableSettings
from dsrna.run_folder import RunFolder
from dsrna.spaces import genotype_codec
from dsrna.spaces.nasbench201.space import Nasbench201Space
from dsrna.stages.verdict import write_verdict
from dsrna.tables.analysis import analyse


def rank(tables, root):
    benchmark = SimpleNamespace(root=tables, dataset="cifar10", metrics=None, eps=None)
    published_columns(SimpleNamespace(benchmark=benchmark, data=SimpleNamespace(root=root)), [0])


def query(name):
    return lambda tables, root: Columns(
        TableSettings(root=tables, dataset="cifar10"), SimpleNamespace(root=root)
    ).column(name, "x")


def analysis(tables, root):
    analyse(tables, root, "cifar10", SimpleNamespace(exists=lambda: False), print)


COMMANDS = {
    "rank": rank,
    "query, adversarial": query("robbench/clean"),
    "query, standard": query("robustness/clean"),
    "query, proxies": query("published/synflow"),
    "analyse": analysis,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("tables", "root", "looked_in", "named"),
    [
        (None, None, "environment", "data.root|--tables"),
        (None, "root", "root", "data.root|--tables"),
        ("tables", "root", "tables", "benchmark.root|--tables"),
    ],
)
def test_where_tables_are_looked_for(tmp_path, monkeypatch, command, tables, root, looked_in, named):
    for folder in ("environment", "root", "tables"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("DSRNA_DATA", str(tmp_path / "environment"))
    given = (None if name is None else str(tmp_path / name) for name in (tables, root))
    with pytest.raises(DataError, match=rf"{tmp_path / looked_in}.*(\(conf: )?({named})\)"):
        COMMANDS[command](*given)


def test_a_searchs_verdict_looks_in_the_data_root(tmp_path, caplog):
    folder = RunFolder(tmp_path)
    genotype_codec.save(Nasbench201Space().genotype(7), folder.genotype_json)
    caplog.set_level("INFO", logger="dsrna")
    data = SimpleNamespace(root=str(tmp_path / "root"), source={"_target_": "dsrna.data.digits.load_digits"})
    assert not write_verdict(folder, data)
    assert f"at {tmp_path / 'root'}, found nothing" in caplog.text
