"""What tests of studies share."""

import pytest

pytest.importorskip("optuna")
