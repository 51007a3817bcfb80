"""Published genotypes of the DARTS space, in the notation of their publications."""

from __future__ import annotations

from dsrna.errors import GenotypeError
from dsrna.spaces.genotype import Genotype
from dsrna.spaces.names import unknown_name
from dsrna.spaces.notation.reading import parse, plain_name

PUBLISHED = {
    # Liu, Simonyan, Yang; ICLR 2019; first order, CIFAR-10
    "DARTS_V1": """Genotype(
        normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1),
                ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
        normal_concat=[2, 3, 4, 5],
        reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0),
                ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)],
        reduce_concat=[2, 3, 4, 5])""",
    # Liu, Simonyan, Yang; ICLR 2019; second order, CIFAR-10
    "DARTS_V2": """Genotype(
        normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
                ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)],
        normal_concat=[2, 3, 4, 5],
        reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1),
                ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)],
        reduce_concat=[2, 3, 4, 5])""",
    # Xu et al.; ICLR 2020; searched on CIFAR-10
    "PC_DARTS": """Genotype(
        normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1),
                ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)],
        normal_concat=range(2, 6),
        reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2),
                ('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)],
        reduce_concat=range(2, 6))""",
    # Mok et al.; ICCV 2021
    "AdvRush": """Genotype(
        normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1),
                ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1)],
        normal_concat=range(2, 6),
        reduce=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('dil_conv_3x3', 2),
                ('skip_connect', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('skip_connect', 2)],
        reduce_concat=range(2, 6))""",
    # Dong et al.; Adversarially Robust Neural Architectures, 2020
    "RACL": """Genotype(
        normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 1),
                ('sep_conv_3x3', 0), ('skip_connect', 3), ('sep_conv_3x3', 3), ('skip_connect', 4)],
        normal_concat=range(2, 6),
        reduce=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1),
                ('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 2), ('dil_conv_3x3', 3)],
        reduce_concat=range(2, 6))""",
    # Yue et al.; Effective, Efficient and Robust Neural Architecture Search, 2020
    "E2RNAS": """Genotype(
        normal=[('avg_pool_3x3', 0), ('skip_connect', 1), ('avg_pool_3x3', 0), ('sep_conv_3x3', 2),
                ('sep_conv_5x5', 3), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_5x5', 2)],
        normal_concat=range(2, 6),
        reduce=[('avg_pool_3x3', 0), ('avg_pool_3x3', 1), ('avg_pool_3x3', 0), ('avg_pool_3x3', 1),
                ('avg_pool_3x3', 0), ('skip_connect', 3), ('avg_pool_3x3', 0), ('skip_connect', 3)],
        reduce_concat=range(2, 6))""",
    # the genotype released as RNAS_H; submission to ICLR 2022
    "RNAS": """Genotype(
        normal=[('dil_conv_5x5', 0), ('dil_conv_5x5', 1), ('dil_conv_5x5', 0), ('dil_conv_3x3', 1),
                ('dil_conv_5x5', 3), ('sep_conv_5x5', 0), ('dil_conv_5x5', 0), ('dil_conv_3x3', 2)],
        normal_concat=range(2, 6),
        reduce=[('avg_pool_3x3', 1), ('dil_conv_5x5', 0), ('dil_conv_5x5', 2), ('sep_conv_5x5', 0),
                ('sep_conv_3x3', 3), ('skip_connect', 0), ('sep_conv_5x5', 0), ('sep_conv_5x5', 4)],
        reduce_concat=range(2, 6))""",
}
"""Name -> genotype in published notation."""


def published(name: str) -> Genotype:
    """A published genotype by its name, whatever its case and dashes.

    Raises:
        GenotypeError: there is none of that name.

    >>> published("DARTS_V2").cells["normal"].nodes[0]
    (('sep_conv_3x3', 0), ('sep_conv_3x3', 1))
    """
    if name not in PUBLISHED:
        spelt_alike = [known for known in PUBLISHED if plain_name(known) == plain_name(name)]
        if not spelt_alike:
            raise GenotypeError(unknown_name("published genotype", name, PUBLISHED))
        name = spelt_alike[0]
    return parse(PUBLISHED[name])
