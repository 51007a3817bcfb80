"""The page, the files for programs and papers, and the figures."""

import base64
import csv
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from dsrna.comparing.files import csv_text, latex_text
from dsrna.comparing.pages import redraw, write_pages
from dsrna.comparing.table import table_of
from dsrna.report.templates import script


@pytest.fixture(scope="module")
def written(results, tmp_path_factory):
    return write_pages(results, tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def painted(results, tmp_path_factory, drawn):
    with drawn():
        return write_pages(results, tmp_path_factory.mktemp("painted")).parent / "figures"


def test_the_page_needs_nothing_from_elsewhere_and_runs_no_other_script(written):
    page = written.read_text()
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", page)
    (text,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert text == script("sorting.js")
    assert "ours &lt;&amp;_" in page
    assert "ours <&" not in page


def test_every_cell_that_is_sorted_by_holds_its_number(written, results):
    page = written.read_text()
    table = page[page.index('<table class="sortable">') :]
    rows = re.findall(r"<tr>\s*(<th scope=\"row\">.*?)</tr>", table[: table.index("</table>")], re.DOTALL)
    robust = [float(re.search(r'<td class="number" data-sort="([^"]+)"><b>', row)[1]) for row in rows]
    assert robust == [row.robust.mean for row in table_of(results).rows]
    heads = len(re.findall('<th scope="col"', table[: table.index("</thead>")]))
    assert all(len(re.findall("<t[dh] ?", row)) == heads for row in rows)


def test_the_csv_has_every_number_as_it_is(results):
    lines = list(csv.DictReader(csv_text(table_of(results)).splitlines()))
    for line, row in zip(lines, table_of(results).rows, strict=True):
        assert line["row"] == row.row.name
        assert float(line["robust, mean"]) == row.robust.mean
        assert float(line["PGD-20, sd"]) == row.accuracies["PGD-20"].deviation
        assert (line["p seeds"] == "") == (row.test is None)


def test_the_latex_is_a_booktabs_table_with_the_best_in_bold(results):
    text = latex_text(table_of(results))
    body = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert all(line.count("&") - line.count("\\&") == 5 for line in body)
    assert "\\toprule" in text
    assert "\\bottomrule" in text
    assert "ours <\\&\\_" in text
    best = max(table_of(results).rows, key=lambda row: row.robust.mean)
    bold = [line for line in body if line.split(" & ")[2].startswith("\\textbf")]
    assert len(bold) == 1
    assert bold[0].startswith("ours <")
    assert f"\\textbf{{{100 * best.robust.mean:.2f} " in bold[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows", "sizes", "front"])
def test_figures_have_fonts_that_papers_accept(painted, name):
    pdf = (painted / f"{name}.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf  # a TrueType font, embedded
    assert b"<text" not in (painted / f"{name}.svg").read_bytes()


def test_pages_are_drawn_again_from_the_results_alone(written, results, tmp_path):
    results.save(tmp_path)
    assert redraw(tmp_path).read_bytes() == written.read_bytes()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_of_the_page_can_be_read(tmp_path):
    (tmp_path / "sorting.js").write_text(script("sorting.js"))
    subprocess.run(["node", "--check", str(tmp_path / "sorting.js")], check=True)


def test_a_comparison_without_results_has_a_page(results, tmp_path):
    page = write_pages(replace(results, trained=[], costs={}), tmp_path).read_text()
    assert "Nothing is trained and evaluated yet." in page
