"""The notebook's way from vectors to stories, by its own functions and its own cells.

N_NEIGHBORS, MIN_SAMPLES, MIN_CLUSTER_SIZE and MAX_CLUSTER_SIZE come from the environment, as in the
notebook. `embeddings` are n x d unit vectors (float32), `labels` n story numbers, -1 for noise.
"""

import io
import os
import warnings
from contextlib import redirect_stdout
from unittest import mock

import numpy as np
from sklearn.neighbors import NearestNeighbors

from conftest import execute
from notebook import (
    CODE,
    NUMBERS,
    SETTINGS,
    Neighbours,
    choose,
    clean_texts,
    find_tree,
    fit_hdbscan,
    merge_copies,
    neighbours_to_search,
    number_by_size,
    numbers_to_try,
    put_itself_first,
    read_story_column,
    try_numbers,
    whole_number,
)

N_NEIGHBORS, MIN_SAMPLES, MIN_CLUSTER_SIZE, MAX_CLUSTER_SIZE = (
    whole_number(name, os.environ.get(name) or SETTINGS[name][0], *NUMBERS[name])
    for name in ("N_NEIGHBORS", "MIN_SAMPLES", "MIN_CLUSTER_SIZE", "MAX_CLUSTER_SIZE")
)
STAGE_OF = {  # what a cell makes, a variable or a column of `news`: the stage that it belongs to
    "schema": "store",
    "new": "store",
    "embeddings": "store",
    "neighbours": "neighbours",
    "candidates": "choice",
    "tree": "tree",
    "clusterer": "stories",
    "x": "map",
}
warnings.filterwarnings("ignore", message="precomputed_knn")


def make_news(table):
    """Return the notebook's table of headlines, copies merged, and the story of each, "" for none.

    The order is the notebook's own; the column `row` says where in the table a headline stands."""
    news, _ = merge_copies(clean_texts(table))
    truth = read_story_column(table)
    return news, np.full(len(news), "") if truth is None else truth[news["row"]]


def exact_neighbours(vectors, columns=None):
    """Return the nearest neighbours among these vectors, found in double precision.

    columns: how many; None: as many as the notebook searches."""
    columns = columns or neighbours_to_search(N_NEIGHBORS, MIN_SAMPLES, len(vectors))
    near = NearestNeighbors(n_neighbors=columns, algorithm="brute").fit(vectors.astype(float))
    distances, rows = near.kneighbors(vectors.astype(float))
    return Neighbours(*put_itself_first(rows, distances), True)


def try_all(neighbours):
    """Return the table of candidates, and the row of the one that the data chooses."""
    numbers = numbers_to_try(MIN_SAMPLES, neighbours)
    with redirect_stdout(io.StringIO()):  # its bar
        candidates = try_numbers(neighbours, numbers, MIN_CLUSTER_SIZE, MAX_CLUSTER_SIZE)
    return candidates, choose(candidates)


def cluster(tree, limit=MAX_CLUSTER_SIZE):
    """Return the labels that a spanning tree gives; limit: of a story's headlines, or none."""
    fitted = fit_hdbscan(tree, len(tree) + 1, MIN_CLUSTER_SIZE, int(limit or 0))
    return number_by_size(fitted.labels_)[0]


def find_stories(embeddings, neighbours, candidate):
    """Return the labels of a candidate, from a tree with every link proven."""
    tree, _ = find_tree(embeddings, neighbours, int(candidate["MIN_SAMPLES"]))
    return cluster(tree, candidate["limit"])


def run_cells(vectors, settings, stages):
    """Execute the notebook's cells here, up to the map, and measure them by stages.

    vectors: {text: vector}, in place of a model's. Return the variables; close their `client`."""
    anything = next(iter(vectors.values()))  # for the texts that the notebook makes up

    def load_vectors(named, texts):
        return named, lambda texts: np.stack([vectors.get(text, anything) for text in texts])

    names, known = {}, set()
    with mock.patch.dict(os.environ, settings | {"EMBEDDING_MODEL": "vectors"}):
        for source in [cell.source for cell in CODE if not cell.source.startswith("%")]:
            with stages.measure("this cell"):
                execute(source, names)
            if "load_embedding" in names:
                names["load_embedding"] = load_vectors
            there = {*names, *getattr(names.get("news"), "columns", [])}
            stage = next((STAGE_OF[name] for name in STAGE_OF if name in there - known), "other")
            stages.add("this cell", to=stage)
            if stage == "map":
                return names
            known = there
    raise LookupError("No cell of the notebook gives `news` the column x.")
