"""The number of processes and the settings of what they train."""

import pytest

from dsrna.config.compose import compose
from dsrna.config.devices import processes_of
from dsrna.config.fingerprint import fingerprint_of
from dsrna.config.validate import validated
from dsrna.errors import ConfigError


def settings_of(*overrides):
    return validated(compose("search", list(overrides)))


def test_one_process_shares_nothing():
    assert processes_of(settings_of("search.batch_size=7")) == 1


@pytest.mark.parametrize(
    ("key", "further"),
    [
        ("search.batch_size", []),
        ("retrain.batch_size", []),
        ("certified.batch_size", ["retrain.certified=true"]),
    ],
)
def test_batches_are_shared_evenly(key, further):
    others = {"search.batch_size": 32, "retrain.batch_size": 32, "certified.batch_size": 32} | {key: 30}
    sizes = [f"{name}={size}" for name, size in others.items()]
    assert (
        processes_of(settings_of("trainer.devices=3", *[text.replace("=32", "=33") for text in sizes], *further)) == 3
    )
    with pytest.raises(ConfigError, match=rf"4 processes can share evenly, got 30 images: 28 would do.*conf: {key}"):
        settings_of("trainer.devices=4", *sizes, *further)


def test_the_limit_of_a_batch_counts():
    settings_of("trainer.devices=4", "search.batch_size=30", "retrain.batch_size=30", "trainer.limits.batch_size=8")
    with pytest.raises(ConfigError, match="got 3 images: 4 would do"):
        settings_of("trainer.devices=4", "trainer.limits.batch_size=3")


@pytest.mark.parametrize("place", ["search.weights_objective", "objective"])
def test_what_is_carried_from_batch_to_batch_is_one_processes(place):
    group = "objective@search.weights_objective" if place.startswith("search") else "objective"
    settings_of(f"{group}=free")
    with pytest.raises(ConfigError, match=rf"can't share: use another objective.*conf: {place}"):
        settings_of(f"{group}=free", "trainer.devices=2")


def test_torchrun_says_how_many(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert processes_of(settings_of()) == 1, "left from something else"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(ConfigError, match="5 processes can share evenly"):
        settings_of("search.batch_size=16")


def test_a_run_may_go_on_with_another_number_but_not_with_another_batchnorm():
    one = fingerprint_of(settings_of())
    assert fingerprint_of(settings_of("trainer.devices=2")) == one
    assert fingerprint_of(settings_of("trainer.sync_batchnorm=true")) != one
