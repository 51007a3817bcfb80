"""What a job is made of, from the composed config."""

import pytest

from dsrna.config.compose import compose_with_hydra
from dsrna.runs.request import request_of


@pytest.fixture
def request_for(tmp_path):
    def make(*overrides):
        config, of_hydra = compose_with_hydra("rank", list(overrides))
        from dsrna.config.rank import rank_settings

        return request_of("rank", ("dsrna.rank",), rank_settings(config), config, of_hydra, tmp_path, "")

    return make


def test_choices_are_those_of_the_groups_and_a_part_that_was_typed_is_named_by_itself(request_for):
    request = request_for("data=mnist")
    assert request.choices["data"] == "mnist"
    assert not [group for group in request.choices if group.startswith("hydra")]
    typed = request_for("data=mnist", "data.source._target_=dsrna.data.digits.load_digits", "threat._target_=mine.T")
    assert (typed.choices["data"], typed.choices["threat"]) == ("mnist", "mine.T")
