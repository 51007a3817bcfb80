"""Where to put the boxes of a small directed graph so that no box and no line runs over another box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[str, str]

SWEEPS = 24
LANE_PULL = 4  # how much more the two ends of a link pull when one of them is a lane: keeps long lines straight


@dataclass(frozen=True)
class Layout:
    """Heights in which to draw, measured upwards from 0.

    Attributes:
        y: box -> height of its middle.
        routes: edge -> (layer, height) of every stop on its way, both ends included, one stop a layer.
    """

    y: dict[str, float]
    routes: dict[Edge, list[tuple[int, float]]]


def layered_layout(
    layers: Sequence[Sequence[str]], edges: Sequence[Edge], heights: Mapping[str, float], gap: float
) -> Layout:
    """Lays out a graph whose boxes stand in layers, with edges only from earlier to later layers.

    An edge over several layers gets an invisible box in each layer it passes, which reserves a lane for it. Layers are
    then ordered by barycentres with few crossings (Sugiyama, Tagawa and Toda 1981; the first layer keeps its order),
    and each box is put as close to the mean height of its neighbours as the others in its layer allow.

    Args:
        layers: the boxes of every layer; the first layer is drawn in the given order, from top to bottom.
        edges: (source, target), each once.
        heights: box -> its height, in any unit.
        gap: smallest distance between two boxes of a layer, in the same unit.
    """
    columns = [list(reversed(layer)) for layer in layers]
    layer_of = {box: number for number, layer in enumerate(layers) for box in layer}
    chains: dict[Edge, list[str]] = {}
    for source, target in edges:
        passed = range(layer_of[source] + 1, layer_of[target])
        lanes = [f"{source}->{target}@{layer}" for layer in passed]
        for layer, lane in zip(passed, lanes, strict=True):
            columns[layer].append(lane)
        chains[source, target] = [source, *lanes, target]
    links = [link for chain in chains.values() for link in pairwise(chain)]

    columns = _ordered(columns, links)
    y = _placed(columns, links, heights, gap)
    lowest = min(y[box] - heights.get(box, 0.0) / 2 for box in y)
    y = {box: height - lowest for box, height in y.items()}
    routes = {
        edge: [(layer_of[edge[0]] + step, y[box]) for step, box in enumerate(chain)] for edge, chain in chains.items()
    }
    return Layout({box: y[box] for box in layer_of}, routes)


def _ordered(columns: list[list[str]], links: list[Edge]) -> list[list[str]]:
    """The columns reordered, except the first, with the fewest crossings that barycentre sweeps and swaps find."""
    before, after = _neighbours(links)
    best, fewest = columns, _crossings(columns, links)
    current = [list(column) for column in columns]
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        order = range(1, len(current)) if forward else range(len(current) - 2, 0, -1)
        for number in order:
            facing = current[number - 1 if forward else number + 1]
            current[number] = _by_barycentre(current[number], facing, neighbours)
        _swap_neighbours(current, links)
        crossings = _crossings(current, links)
        if crossings < fewest:
            best, fewest = [list(column) for column in current], crossings
    return best


def _by_barycentre(column: list[str], facing: list[str], neighbours: Mapping[str, list[str]]) -> list[str]:
    """The column sorted by the mean position that each box's neighbours have in the ``facing`` column."""
    place = {box: position for position, box in enumerate(facing)}
    keys = {}
    for position, box in enumerate(column):
        met = [place[other] for other in neighbours.get(box, ())]
        keys[box] = sum(met) / len(met) if met else position
    return sorted(column, key=keys.__getitem__)


def _swap_neighbours(columns: list[list[str]], links: list[Edge]) -> None:
    """Swaps, in place, every two adjacent boxes whose swap removes crossings."""
    for column in columns[1:]:
        for low in range(len(column) - 1):
            fewest = _crossings(columns, links)
            column[low], column[low + 1] = column[low + 1], column[low]
            if _crossings(columns, links) >= fewest:
                column[low], column[low + 1] = column[low + 1], column[low]


def _crossings(columns: list[list[str]], links: list[Edge]) -> int:
    """How many pairs of links between the same two columns cross."""
    place = {box: (number, position) for number, column in enumerate(columns) for position, box in enumerate(column)}
    total = 0
    for index, (source, target) in enumerate(links):
        layer, low = place[source]
        high = place[target][1]
        for other_source, other_target in links[index + 1 :]:
            other_layer, other_low = place[other_source]
            other_high = place[other_target][1]
            total += layer == other_layer and (low - other_low) * (high - other_high) < 0
    return total


def _placed(columns: list[list[str]], links: list[Edge], heights: Mapping[str, float], gap: float) -> dict[str, float]:
    """Box -> height of its middle, by repeatedly moving boxes towards their neighbours."""
    boxes = {box for link in links for box in link if box in heights}
    before, after = _neighbours(links)
    y: dict[str, float] = {}
    for column in columns:
        y.update(zip(column, _spread([0.0] * len(column), [heights.get(box, 0.0) for box in column], gap), strict=True))
    for _ in range(SWEEPS):
        for column in (*columns, *reversed(columns)):
            wanted = []
            for box in column:
                pulls = [
                    (y[other], 1 if box in boxes and other in boxes else LANE_PULL)
                    for other in (*before.get(box, ()), *after.get(box, ()))
                ]
                total = sum(pull for _, pull in pulls)
                wanted.append(sum(height * pull for height, pull in pulls) / total if total else y[box])
            y.update(zip(column, _spread(wanted, [heights.get(box, 0.0) for box in column], gap), strict=True))
    return y


def _spread(wanted: list[float], heights: list[float], gap: float) -> list[float]:
    """The heights closest to ``wanted`` (least squares) in this order, at least ``gap`` apart.

    With the needed distances subtracted this is isotonic regression, solved by pooling adjacent violators.
    """
    offsets = [0.0]
    for low, high in pairwise(heights):
        offsets.append(offsets[-1] + (low + high) / 2 + gap)
    pools: list[tuple[float, int]] = []  # (mean, count)
    for value, offset in zip(wanted, offsets, strict=True):
        mean, count = value - offset, 1
        while pools and pools[-1][0] > mean:
            other_mean, other_count = pools.pop()
            mean = (mean * count + other_mean * other_count) / (count + other_count)
            count += other_count
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


def _neighbours(links: list[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for source, target in links:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    return before, after
