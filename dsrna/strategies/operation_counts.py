"""Which operations a genotype uses, and a warning where skip connections have taken over."""

from __future__ import annotations

from collections import Counter

from dsrna.spaces.genotype import Genotype

SKIP = "skip_connect"


def operation_counts(genotype: Genotype) -> dict[str, dict[str, int]]:
    """How often each operation stands in each cell type, most frequent first; operations that don't occur are left out.

    Args:
        genotype: of any space.

    Returns:
        Cell type -> operation -> count.
    """
    return {
        cell_type: dict(Counter(operation for node in cell.nodes for operation, _ in node).most_common())
        for cell_type, cell in genotype.cells.items()
    }


def skip_connection_warning(genotype: Genotype, limit: float = 0.5) -> str | None:
    """A warning where skip connections make up more than ``limit`` of a cell's operations.

    DARTS is known to drift to cells of little but skip connections when it searches too long: they speed up the
    supernet's training and make poor derived networks. (Published cells have up to 4 of 8 in the reduction cell,
    which is no collapse.)

    Args:
        genotype: of any space.
        limit: share of a cell's operations, in [0, 1).

    Returns:
        One sentence for the log, or None.
    """
    collapsed = []
    for cell_type, counts in operation_counts(genotype).items():
        skips, total = counts.get(SKIP, 0), sum(counts.values())
        if total and skips / total > limit:
            collapsed.append(f"{skips} of {total} in the {cell_type} cell")
    if not collapsed:
        return None
    return (
        f"Skip connections take over ({', '.join(collapsed)}), a known failure of DARTS: search for fewer epochs, "
        "lengthen the weights' warm-up, or derive from an earlier epoch."
    )
