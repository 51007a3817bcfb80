"""Query-based searches on small tables whose optimum is known, against brute force and a textbook version."""

import random
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrna.errors import ConfigError
from dsrna.query_searches.base import GeneSpace, Query, run_queries
from dsrna.query_searches.best_mutation import BestMutation
from dsrna.query_searches.genetic import Genetic
from dsrna.query_searches.genetic import survivors as genetic_survivors
from dsrna.query_searches.local_search import LocalSearch, climb
from dsrna.query_searches.nsga2 import Nsga2
from dsrna.query_searches.nsga2 import survivors as nsga2_survivors
from dsrna.query_searches.pareto import (
    crowding_distances,
    hypervolume,
    non_dominated,
    non_dominated_fronts,
    pareto_front,
)
from dsrna.query_searches.random_search import RandomSearch
from dsrna.query_searches.regularised_evolution import RegularisedEvolution
from tests.thorough import examples

SPACE = GeneSpace((3,) * 4)
EVERY = list(product(range(3), repeat=4))
TARGET = (2, 0, 1, 2)
SEARCHES = [RandomSearch(), LocalSearch(), RegularisedEvolution(8, 4), Genetic(6), Nsga2(6), BestMutation(6, 3)]
by_name = pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)


def likeness(genes):
    return (float(sum(a == b for a, b in zip(genes, TARGET, strict=True))),)


def rugged(seed):
    table = dict(zip(EVERY, np.random.default_rng(seed).random(3**4).tolist(), strict=True))
    return lambda genes: (table[genes],)


@by_name
@pytest.mark.parametrize("budget", [1, 5, 6, 7, 50])
def test_budget_is_kept(search, budget):
    calls = []
    queries = run_queries(search, SPACE, lambda genes: calls.append(genes) or likeness(genes), budget, 0)
    assert calls == [query.genes for query in queries]
    assert len(calls) == budget
    assert set(calls) <= set(EVERY)


@by_name
def test_seed_decides(search):
    first, again, other = (run_queries(search, SPACE, rugged(0), 60, seed) for seed in (1, 1, 2))
    assert first == again != other


@by_name
def test_optimum_is_found(search):
    for seed in range(5):
        assert TARGET in [query.genes for query in run_queries(search, SPACE, likeness, 400, seed)]


@pytest.mark.slow
def test_guided_searches_need_fewer_queries_than_random():
    space, target = GeneSpace((5,) * 6), (4, 0, 2, 1, 3, 3)

    def found_after(search):
        def fitness(genes):
            return (float(sum(a == b for a, b in zip(genes, target, strict=True))),)

        runs = [run_queries(search, space, fitness, 3000, seed) for seed in range(5)]
        return np.median([next((n for n, q in enumerate(run) if q.genes == target), 3000) for run in runs])

    assert max(map(found_after, (LocalSearch(), RegularisedEvolution(), Genetic(), Nsga2()))) < 700
    assert found_after(RandomSearch()) > 700


@pytest.mark.parametrize("search", [RandomSearch(), LocalSearch()], ids=["random", "local"])
def test_no_architecture_twice_and_an_end(search):
    queries = run_queries(search, SPACE, rugged(3), 10_000, 0)
    assert sorted(query.genes for query in queries) == EVERY


@pytest.mark.parametrize("seed", range(10))
def test_a_climb_ends_in_a_local_optimum(seed):
    fitness, chance, known = rugged(seed), random.Random(seed), {}
    start = SPACE.draw(chance)
    climbing = climb(start, SPACE, chance, known)
    genes = next(climbing)
    assert genes == start
    with pytest.raises(StopIteration) as ended:  # noqa: PT012
        while True:
            genes = climbing.send(fitness(genes))
    optimum = ended.value.value
    one_off = [g for g in EVERY if sum(a != b for a, b in zip(g, optimum, strict=True)) == 1]
    assert len(one_off) == 8
    assert all(fitness(g) <= fitness(optimum) for g in one_off)
    assert fitness(optimum) >= fitness(start)


def test_regularised_evolution_equals_the_textbook():
    """Algorithm 1 of the paper, with the same draws: plain lists, the oldest removed by hand."""
    fitness, chance, population, history = rugged(5), random.Random(9), [], []
    while len(population) < 7:
        genes = tuple(chance.randrange(3) for _ in range(4))
        population.append(genes)
        history.append(genes)
    while len(history) < 120:
        sample = [population[int(chance.random() * 7)] for _ in range(3)]
        parent = sample[0]
        for candidate in sample:
            if fitness(candidate) > fitness(parent):
                parent = candidate
        around = [(*parent[:e], o, *parent[e + 1 :]) for e in range(4) for o in range(3)]
        other = [genes for genes in around if genes != parent]
        child = other[chance.randrange(8)]
        population.append(child)
        history.append(child)
        del population[0]
    found = run_queries(RegularisedEvolution(7, 3), SPACE, fitness, 120, 9)
    assert [query.genes for query in found] == history


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=15), st.integers(1, 8))
def test_genetic_survivors_are_the_best_different_ones(pairs, count):
    fitness = dict(pairs)
    members = [Query((gene,), (float(fitness[gene]),)) for gene, _ in pairs]
    found = genetic_survivors(members, count)
    assert len({one.genes for one in found}) == len(found) == min(count, len(fitness))
    assert [one.fitness[0] for one in found] == sorted(fitness.values(), reverse=True)[:count]
    arrivals = list(dict.fromkeys((one.fitness, one.genes) for one in members))
    assert [(o.fitness, o.genes) for o in found] == sorted(arrivals, key=lambda o: -o[0][0])[:count]


POINTS = st.integers(2, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), min_size=1, max_size=14)
)


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))


@examples(200)
@given(POINTS)
def test_fronts_equal_brute_force(points):
    expected, left, front = {}, list(range(len(points))), 0
    while left:
        top = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        expected |= dict.fromkeys(top, front)
        left, front = [i for i in left if i not in top], front + 1
    values = np.array(points, dtype=float)
    found = non_dominated_fronts(values)
    assert found.tolist() == [expected[i] for i in range(len(points))]
    np.testing.assert_array_equal(non_dominated(values), found == 0)
    first = sorted({tuple(point) for point, front in zip(points, found, strict=True) if front == 0})
    assert [tuple(point) for point in pareto_front(values)] == first


@examples(200)
@given(POINTS)
def test_hypervolume_counts_unit_cubes(points):
    values = np.array(points, dtype=float)
    corners = np.stack(np.meshgrid(*[np.arange(4)] * values.shape[1], indexing="ij"), -1).reshape(-1, values.shape[1])
    covered = (corners[:, None] + 1 <= values[None]).all(-1).any(-1).sum()
    assert hypervolume(values, np.zeros(values.shape[1])) == pytest.approx(covered)


def test_hypervolume_equals_monte_carlo():
    generator = np.random.default_rng(0)
    values = generator.random((12, 3))
    samples = generator.random((200_000, 3))
    share = (samples[:, None] <= values[None]).all(-1).any(-1).mean()
    assert hypervolume(values, np.zeros(3)) == pytest.approx(share, abs=0.005)


def test_crowding_by_hand():
    values = np.array([[0.0, 10.0], [1.0, 6.0], [3.0, 5.0], [4.0, 0.0]])
    np.testing.assert_allclose(crowding_distances(values), [np.inf, 3 / 4 + 5 / 10, 3 / 4 + 6 / 10, np.inf])


def test_nsga2_keeps_earlier_fronts_then_emptier_places():
    front = [(0.0, 10.0), (1.0, 6.0), (3.0, 5.0), (4.0, 0.0)]
    behind = [(0.0, 1.0), (2.0, 2.0)]
    members = [Query((n,), fitness) for n, fitness in enumerate([*behind, *front])]
    kept = [{one.query.fitness for one in nsga2_survivors(members, count)} for count in (2, 3, 4)]
    assert kept == [{front[0], front[3]}, {front[0], front[3], front[2]}, set(front)]
    assert {one.query.fitness for one in nsga2_survivors(members, 5)} >= set(front)


def test_nsga2_finds_the_whole_front():
    space = GeneSpace((3,) * 5)

    def fitness(genes):
        return float(sum(genes)), -float(sum(g * g for g in genes)), float(genes[0])

    true = pareto_front(np.array([fitness(genes) for genes in product(range(3), repeat=5)]))
    for seed in range(2):
        found = pareto_front(np.array([q.fitness for q in run_queries(Nsga2(40), space, fitness, 1500, seed)]))
        assert found.tolist() == true.tolist()


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match=r"budget of at least 1 query, got 0"):
        run_queries(RandomSearch(), SPACE, likeness, 0, 0)
    with pytest.raises(ConfigError, match=r"`population` to be at least 2, got 1"):
        Genetic(1)
    with pytest.raises(ConfigError, match=r"`warmup` to be at least 1, got 0"):
        BestMutation(0)
    with pytest.raises(ConfigError, match=r"`sample` to be at least 1, got 0"):
        RegularisedEvolution(5, 0)


def test_best_mutation_equals_the_textbook():
    fitness, chance, history = rugged(6), random.Random(4), []
    for _ in range(5):
        history.append(tuple(chance.randrange(3) for _ in range(4)))
    best = max(history, key=fitness)
    while len(history) < 60:
        pool = []
        for _ in range(4):
            around = [(*best[:e], o, *best[e + 1 :]) for e in range(4) for o in range(3) if o != best[e]]
            pool.append(chance.choice(around))
        history += pool
        best = max([best, *pool], key=fitness)
    found = run_queries(BestMutation(5, 4), SPACE, fitness, 60, 4)
    assert [query.genes for query in found] == history[:60]


@pytest.mark.parametrize("search", [Genetic(6), Nsga2(6), BestMutation(6, 3), RegularisedEvolution(8, 4)])
def test_fewest_queries_end_with_the_first_that_is_not_random(search):
    space, chance = GeneSpace((50,) * 8), random.Random(3)
    begin = search.fewest_queries - 1
    queries = run_queries(search, space, lambda genes: (1.0,), begin + 1, 3)
    assert [query.genes for query in queries[:-1]] == [space.draw(chance) for _ in range(begin)]
    alike = max(sum(a == b for a, b in zip(queries[-1].genes, q.genes, strict=True)) for q in queries[:-1])
    assert alike >= 3, "a child shares genes with its parents; random architectures hardly do"


def test_genes_of_different_sizes():
    space = GeneSpace((1, 4, 2))
    assert space.size == 8
    assert sorted(space.neighbours((0, 3, 1))) == [(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 3, 0)]
    for search in (RandomSearch(), LocalSearch(), RegularisedEvolution(3, 2), Genetic(3), Nsga2(3), BestMutation(2)):
        queries = run_queries(search, space, lambda genes: (genes[1] - genes[2],), 60, 1)
        assert (0, 3, 0) in [query.genes for query in queries]
        assert all(0 <= v < n for query in queries for v, n in zip(query.genes, space.choices, strict=True))
