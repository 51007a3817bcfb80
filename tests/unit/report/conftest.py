"""What tests of pages share."""

import pytest


@pytest.fixture
def text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages have no pictures, which take most of their time."""
    monkeypatch.setattr("dsrna.report.page.draw_pictures", lambda data: [])
