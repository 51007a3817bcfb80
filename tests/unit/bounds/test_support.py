from pathlib import Path

import pytest

from dsrna.bounds.compat import auto_lirpa
from dsrna.bounds.support import support_table
from dsrna.errors import MissingPartError

PAGE = Path(__file__).parents[3] / "docs" / "certified.md"


@pytest.mark.slow
def test_the_page_says_what_the_code_supports():
    try:
        auto_lirpa()
    except MissingPartError as error:
        pytest.skip(str(error))
    _, table, _ = PAGE.read_text(encoding="utf-8").split("<!-- support -->")
    printed = support_table().splitlines()
    wrong = [line for line in table.strip().splitlines() if line not in printed]
    assert not wrong, "put what `python -m dsrna.bounds.support` prints into the page"
