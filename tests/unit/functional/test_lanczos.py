"""Lanczos's method against the whole spectrum."""

import pytest
import torch

from dsrna.functional.lanczos import largest_eigenvalues


def largest_eigenvalue(product, start, steps):
    """Of one matrix; products in its own precision."""
    found = largest_eigenvalues(lambda rows: product(rows[0].to(start))[None].double(), start[None].double(), steps)
    return float(found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.double, 1e-9), (torch.float, 1e-4)])
@pytest.mark.parametrize("shift", [-30.0, 0.0, 30.0])
def test_largest_of_a_random_matrix(dtype, tolerance, shift):
    """Also where the most negative one is larger in magnitude, and where all are negative."""
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 30, generator=draw, dtype=torch.double)
    matrix = (matrix + matrix.T) / 2 + shift * torch.eye(30)
    found = largest_eigenvalue(lambda v: matrix.to(dtype) @ v, torch.randn(30, generator=draw).to(dtype), 30)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(matrix).max()), rel=tolerance, abs=tolerance)


def test_few_iterations_find_one_that_stands_apart_and_never_more_than_there_is():
    draw = torch.Generator().manual_seed(1)
    values = torch.cat([torch.rand(199, generator=draw, dtype=torch.double) - 0.5, torch.tensor([3.0])])
    basis = torch.linalg.qr(torch.randn(200, 200, generator=draw, dtype=torch.double))[0]
    matrix = basis @ torch.diag(values) @ basis.T
    start = torch.randn(200, generator=draw, dtype=torch.double)
    found = [largest_eigenvalue(lambda v: matrix @ v, start, count) for count in (2, 5, 10)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(3.0, abs=1e-6)
    assert found[0] <= 3.0 + 1e-12


def test_it_ends_early_where_few_directions_matter():
    matrix = torch.diag(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    assert largest_eigenvalue(lambda v: matrix @ v, torch.ones(4), 4) == pytest.approx(2.0)
    assert largest_eigenvalue(lambda v: 0 * v, torch.ones(4), 4) == 0.0


def test_matrices_side_by_side_are_as_each_by_itself():
    """Also where one of them is exhausted before the others."""
    draw = torch.Generator().manual_seed(2)
    matrices = torch.randn(3, 6, 6, generator=draw, dtype=torch.double)
    matrices = matrices + matrices.mT
    matrices[1] = torch.eye(6)
    start = torch.randn(3, 6, generator=draw, dtype=torch.double)
    found = largest_eigenvalues(lambda rows: torch.einsum("nij,nj->ni", matrices, rows), start, 6)
    torch.testing.assert_close(found, torch.linalg.eigvalsh(matrices)[:, -1])
