"""Made-up results."""

import numpy as np
import pytest

from dsrna.comparing.results import CellCost, Found, Results, RowResults, Trained


def made(draw, cell, seed, robust):
    standing = draw.random(200) < robust
    right = standing | (draw.random(200) < 0.5)
    bits = ["".join("01"[int(one)] for one in outcomes) for outcomes in (standing, right)]
    accuracies = {"clean": float(right.mean()), "PGD-20": float(standing.mean()) + 0.01}
    return Trained(cell, seed, accuracies, float(standing.mean()), *bits, "images", 60.0, f"evaluations/{cell}_{seed}")


@pytest.fixture(scope="session")
def results():
    """Two searches that ended in one cell and one in another, a published cell, four random ones, an unfinished row."""
    draw = np.random.default_rng(0)
    robust = {"a": 0.5, "b": 0.6, "p": 0.4, "r0": 0.35, "r1": 0.4, "r2": 0.45, "r3": 0.38}
    rows = [
        RowResults("ours <&_", "search", "ours", [Found(0, "a", 10.0), Found(1, "a", 14.0), Found(2, "b", 12.0)]),
        RowResults("published", "published", "PUB", [Found(0, "p", None)]),
        RowResults("random", "random", "random cells", [Found(n, f"r{n}", None) for n in range(4)]),
        RowResults("later", "search", "not done", [Found(0, None, None)]),
    ]
    costs = {
        cell: CellCost(1000 * (place + 1), 20000 * (place + 1), {"1": 2.0 + place, "128": 50.0}, "cpu (1 threads)")
        for place, cell in enumerate(robust)
    }
    trained = [made(draw, cell, seed, value) for cell, value in robust.items() for seed in (0, 1)]
    return Results(
        "made_up", "digits", {"norm": "linf", "eps": 8 / 255}, False, "standard training", rows, [0, 1], "random",
        costs, trained,
    )  # fmt: skip
