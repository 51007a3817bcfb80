import pytest
import torch

from dsrna.bounds.engines import COMPLETE_ENGINES, ENGINES, bound_engine
from dsrna.bounds.ibp import IBP
from dsrna.errors import ConfigError


def test_engine_by_name():
    engine = bound_engine("ibp", "l2", 3)
    assert isinstance(engine, IBP)
    assert (engine.norm, engine.batch_size) == ("l2", 3)


@pytest.mark.parametrize("name", [*ENGINES, *COMPLETE_ENGINES])
def test_trying_an_engine_leaves_torchs_random_numbers_where_they_are(name):
    before = torch.get_rng_state()
    bound_engine(name)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("name", "among"), [("crwn", None), ("crown", ["ibp", "crown_ibp"])])
def test_unknown_names_are_refused_with_those_that_there_are(name, among):
    with pytest.raises(ConfigError, match=r"crown_ibp.*\(conf: engine\)"):
        bound_engine(name, among=among)


def test_a_missing_library_is_missed_at_once(monkeypatch):
    class Missing(IBP):
        def bound(self, model, x, eps, y):
            raise ConfigError("no library")

    monkeypatch.setitem(ENGINES, "crown", Missing)
    with pytest.raises(ConfigError, match="no library"):
        bound_engine("crown")
