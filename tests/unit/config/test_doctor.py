"""What `python -m dsrna doctor` says about torch's versions."""

import pytest

from dsrna.config.doctor import checks, pooling_gradients


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.11.0", "CUDA"), ("2.13.1+cu126", "CUDA"), ("2.14.0+cpu", "ceil_mode"), ("2.15.0a0+git1", "ceil_mode")],
)
def test_wrong_gradients_of_torchs_pooling_are_named(version, said):
    assert version in pooling_gradients(version)
    assert said in pooling_gradients(version)


@pytest.mark.slow
def test_they_are_named_for_the_version_that_is_here():
    assert any(check.part == "pooling gradients" and check.found for check in checks())
