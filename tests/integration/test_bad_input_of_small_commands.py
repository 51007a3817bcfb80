"""`python -m dsrna …` and `python -m dsrna.benchmark` given what they can't use; documents that were damaged."""

import contextlib
import io
import json

import pytest

from dsrna.__main__ import main
from dsrna.benchmark import main as benchmark
from dsrna.testing.run_folders import build_run_folder

ROWS = [
    ("list nonsense", "Unknown group `nonsense`"),
    ("list --config-dir {missing}", "Expected a folder with configs"),
    ("list --nonsense", "unrecognized arguments"),
    ("show nonsense=1", "Unknown key `nonsense`"),
    ("plan search.warmup_epochs=99", "(conf: search.warmup_epochs)"),
    ("show search.epochs=abc", "(conf: search.epochs)"),
    ("show search.gradient_clip=inf", "(conf: search.gradient_clip)"),
    ("show stages=[search,search]", "(conf: stages)"),
    ("show name=..", "(conf: name)"),
    ("show +experiment=nope", "Unknown experiment `nope`"),
    ("show logger=[wandb,nonsense]", "Unknown logger `nonsense`"),
    ("plan metric.projections=abc", "(conf: metric.projections)"),
    ("show --config-dir {missing}", "Expected a folder with configs"),
    ("report", "required"),
    ("report {missing}", "Expected a run folder"),
    ("report {empty}", "which has no run.json"),
    ("report {file}", "Expected a run folder"),
    ("export", "required"),
    ("export from={missing}", "(conf: from)"),
    ("export from={empty}", "(conf: from)"),
    ("export from=DARTS_V2", "Expected a run folder or a checkpoint"),
    ("export --images abc from={empty}", "invalid int value"),
    ("export --images -1 from={empty}", "--images above 0"),
    ("export --images 0 from={empty}", "--images above 0"),
    ("export --timeout abc from={empty}", "invalid float value"),
    ("publish", "required"),
    ("publish from={empty}", "which has no run.json"),
    ("publish {file}", "Expected a run folder"),
    ("doctor extra", "unrecognized arguments"),
    ("nonsense", "invalid choice"),
    ("benchmark analyse --tables {missing}", "(--tables)"),
    ("benchmark analyse --tables {empty}", "(--tables)"),
    ("benchmark analyse --tables {empty} --dataset mnist", "(--dataset)"),
    ("benchmark analyse nonsense", "nonsense"),
    ("benchmark nonsense", "invalid choice"),
    ("benchmark train n=abc", "(conf: n)"),
    ("benchmark train n=0", "(conf: n)"),
    ("benchmark train layout=abc", "(conf: layout)"),
]


def outcome_of(words):
    """Exit status, and all that was printed."""
    printed, status = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = benchmark(words[1:]) if words[0] == "benchmark" else main(words)
        except SystemExit as end:
            status = end.code
    return status, printed.getvalue()


@pytest.mark.parametrize(("typed", "says"), ROWS, ids=[typed for typed, _ in ROWS])
def test_it_is_refused_in_one_message_and_nothing_is_written(typed, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    places = {name: str(tmp_path / name) for name in ("missing", "empty", "file")}
    status, text = outcome_of([word.format(**places) for word in typed.split()])
    assert status == 2, text
    assert says in text
    assert "Traceback" not in text
    assert text.count("[error]") + text.count(": error:") == 1
    assert sorted(tmp_path.rglob("*")) == before


def changed(document, path, value):
    """A copy of a JSON document with another value at a path of keys."""
    copy = json.loads(json.dumps(document))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


def paths_of(document, prefix=()):
    """The paths to all entries down to the second level; of a list, to its first."""
    entries = document.items() if isinstance(document, dict) else list(enumerate(document))[:1]
    for key, value in entries:
        yield (*prefix, key)
        if isinstance(value, dict | list) and len(prefix) < 1:
            yield from paths_of(value, (*prefix, key))


DOCUMENTS = ("run.json", "evaluation.json", "search/architecture.json", "genotype.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_run_folder(tmp_path_factory.mktemp("damaged") / "run").path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_with_a_wrong_entry_anywhere_is_drawn_or_refused_in_one_message(name, folder):
    """Every entry in turn becomes an object and a text that it was not."""
    file = folder / name
    right = file.read_text()
    document, refused = json.loads(right), 0
    try:
        for path in list(paths_of(document)):
            file.write_text(json.dumps(changed(document, path, {"a": 1})))
            status, text = outcome_of(["report", str(folder)])
            assert status in (0, 2), f"{path}: {text}"
            assert "Traceback" not in text
            refused += status == 2
    finally:
        file.write_text(right)
    assert refused


WRONG = [
    *(
        (name, content)
        for name in (*DOCUMENTS, "overrides.yaml")
        for content in (b"\xff\xfe\x00{", b"[", b"null", b"[1, 2]")
    ),
    *(("metrics.jsonl", content) for content in (b"\xff\xfe\x00{\n", b"[\n", b"[1, 2]\n")),
]


@pytest.mark.parametrize(("name", "content"), WRONG)
def test_a_document_that_is_something_else_is_refused_in_one_message(name, content, folder):
    file = folder / name
    right = file.read_bytes()
    try:
        file.write_bytes(content)
        status, text = outcome_of(["report", str(folder)])
    finally:
        file.write_bytes(right)
    assert status == 2, text
    assert text.count("[error]") == 1
    assert "Traceback" not in text
    assert name.rpartition("/")[2] in text
