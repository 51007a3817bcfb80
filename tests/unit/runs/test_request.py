"""What a job is made of, from the composed config."""

from dsrna.config.compose import compose_with_hydra
from dsrna.config.validate import validated
from dsrna.runs.request import choices_of, request_of


def test_what_was_typed_is_recorded_as_it_was_typed(tmp_path):
    typed = ["metric=none", "+experiment=digits_pcdarts", "space.primitives=[none,skip_connect]", "seed=3"]
    config, of_hydra = compose_with_hydra("search", typed)
    request = request_of("search", ("dsrna.search",), validated(config), config, of_hydra, tmp_path, "")
    assert request.overrides == typed


def test_choices_are_those_of_the_groups_and_a_part_that_was_typed_is_named_by_itself():
    _, of_hydra = compose_with_hydra("search", ["data=mnist", "metric=jacobian", "metric._target_=mine.Norm"])
    found = choices_of(of_hydra)
    assert (found["data"], found["metric"]) == ("mnist", "mine.Norm")
    assert not [group for group in found if group.startswith("hydra")]
