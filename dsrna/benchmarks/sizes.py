"""Parameters and operations of the networks in the published tables (CIFAR-10, 16 channels, 5 cells a stage)."""

from __future__ import annotations

import numpy as np

from dsrna.spaces.nasbench201.architecture_string import operations_of
from dsrna.spaces.nasbench201.index import COUNT, string_at
from dsrna.spaces.nasbench201.topology import PRIMITIVES

SIZES = ("params", "flops")

_WITHOUT_CELLS = {"params": 73_306, "flops": 7_943_872}
_OF_AN_OPERATION = {
    "params": {"nor_conv_1x1": 28_000, "nor_conv_3x3": 243_040},
    "flops": {"nor_conv_1x1": 4_362_240, "nor_conv_3x3": 35_819_520, "avg_pool_3x3": 1_290_240},
}


def sizes(kind: str) -> np.ndarray:
    """(15625,) ``params`` or ``flops`` of every architecture by index.

    Every operation adds its own to what stem, reductions and head have, wherever in the cell it stands and whether or
    not the cell's output depends on it. Operations are those that the published table of proxies counts:
    multiplications with additions, 2 a BatchNorm value, 1 a ReLU, 9 a pooled value.
    """
    each = np.array([_OF_AN_OPERATION[kind].get(name, 0) for name in PRIMITIVES])
    placed = np.array([[PRIMITIVES.index(name) for name in operations_of(string_at(i))] for i in range(COUNT)])
    return np.asarray(_WITHOUT_CELLS[kind] + each[placed].sum(axis=1), dtype=np.float64)
