"""Is the proven tree that of all pairs, and what does it take: `benchmark.py --proof`."""

import time

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize

from benchmark_chart import print_table
from benchmark_notebook import MIN_SAMPLES, cluster, exact_neighbours
from notebook import Neighbours, find_tree, pair_weights

SAMPLES = MIN_SAMPLES or 3
LIMITS = 16, 50  # neighbours; of more rows than can be compared with all pairs, only the first
ALL_PAIRS = 25_000  # rows at most: their distances take 2.5 GB


def make_stories(seed):
    """Return vectors of 64 numbers: 18 stories of 60 to 150 rows, and 300 rows of noise."""
    random = np.random.default_rng(seed)
    centres = normalize(random.normal(size=(18, 64)))
    told = np.repeat(centres, random.integers(60, 151, 18), axis=0)
    told += 0.8 / 8 * random.normal(size=told.shape)  # their distance from the centre: 0.8
    return normalize(np.vstack([told, random.normal(size=(300, 64))])).astype(np.float32)


def make_far_groups(count, size):
    """Return vectors of 1,024 numbers: so many groups of one size, which no list connects."""
    random = np.random.default_rng(0)
    centres = normalize(random.normal(size=(count, 1024))).astype(np.float32)
    vectors = np.repeat(centres, size, axis=0)
    vectors += 0.3 / 32 * random.normal(size=vectors.shape).astype(np.float32)
    return normalize(vectors)[random.permutation(len(vectors))]


def tree_of_all_pairs(vectors, core):
    """Return the minimum spanning tree of all pairs by another way, in double precision.

    Each step of single linkage becomes a link between the first rows of the groups it joins. It
    may not be the lightest pair, but it has that pair's weight, which is all that HDBSCAN takes."""
    weights, begin = pdist(vectors), 0
    for row in range(len(core) - 1):
        part = slice(begin, begin := begin + len(core) - 1 - row)
        weights[part] = pair_weights(weights[part], core[row], core[row + 1 :])
    first_rows, links = list(range(len(core))), []
    for one, other, weight, _ in linkage(weights, "single"):
        links.append((first_rows[int(one)], first_rows[int(other)], weight))
        first_rows.append(first_rows[int(one)])
    return pd.DataFrame(links, columns=["start", "end", "weight"])


def examine(vectors):
    """Return figures of the trees of these vectors: a dictionary for each number of neighbours.

    "before" is without the proof: the lists are believed, and groups that they do not connect are
    joined by the true nearest link.
    """
    precise, few, found = vectors.astype(float), len(vectors) <= ALL_PAIRS, []
    lists = exact_neighbours(vectors, max(LIMITS))
    exact = tree_of_all_pairs(precise, lists.distances[:, SAMPLES]) if few else None
    for limit in LIMITS if few else LIMITS[:1]:
        cut = lists.rows[:, :limit], lists.distances[:, :limit]
        started = time.perf_counter()
        after, groups = find_tree(vectors, Neighbours(*cut, True), SAMPLES)
        seconds = time.perf_counter() - started
        figures = {"rows": len(vectors), "neighbours": limit}
        if few:
            before, _ = find_tree(vectors, Neighbours(*cut, False), SAMPLES)
            figures |= against(exact, before, "before") | against(exact, after, "after")
        found.append(figures | {"groups looked at": groups, "seconds": seconds})
    return found


def against(exact, tree, when):
    """Return how far a tree's clusters agree with the exact tree's, and its excess weight."""
    agreement = adjusted_rand_score(cluster(exact), cluster(tree))
    excess = tree["weight"].sum() - exact["weight"].sum()
    return {f"agreement {when}": agreement, f"excess weight {when}": round(excess, 4) + 0.0}


def compare_proof(name, cases):
    """Print the table of a case: a row for each number of neighbours, with the range of each figure
    where there are several arrays of vectors."""
    figures = pd.DataFrame([figures for vectors in cases for figures in examine(vectors)])
    formats = {"agreement": ".4f", "excess": ".4f", "seconds": ".1f"}
    rows = []
    for _, group in figures.groupby("neighbours"):
        row = {"case": f"{name}" + f", {len(cases)} times" * (len(cases) > 1)}
        for column in figures:
            form = formats.get(column.split()[0], ",.0f")
            ends = [f"{end:{form}}" for end in (group[column].min(), group[column].max())]
            row[column] = " to ".join(dict.fromkeys(ends))
        rows.append(row)
    print_table(rows)
