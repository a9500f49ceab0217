"""Which way finds the stories that people have told apart: `benchmark.py --labelled CSV`."""

import io
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from benchmark_chart import print_table
from benchmark_notebook import (
    exact_neighbours,
    find_stories,
    make_news,
    try_all,
)
from benchmark_ways import (
    average_linkage,
    evoc_clusters,
    hdbscan_on_vectors,
    leiden,
    plscan,
    published,
    umap_first,
)
from notebook import (
    b_cubed,
    batches,
    choose,
    find_themes,
    load_embedding,
    read_table,
    story_centres,
    with_leaning,
)

ORDERS = 5  # of the rows, for the ways whose clusters depend on it
HEIGHTS = 0.7, 0.85, 1.0, 1.15, 1.3  # of the cuts of average linkage, between unit vectors
OTHER_WAYS = {  # name: from vectors to labels
    "two lines": hdbscan_on_vectors,
    "published tutorial": published,
    **{f"UMAP first, {size}": partial(umap_first, min_cluster_size=size) for size in (3, 5, 10)},
    **{f"Leiden, {resolution}": partial(leiden, resolution=resolution) for resolution in (1, 20)},
    "EVoC": evoc_clusters,
    **{
        f"PLSCAN, {samples}, {measure}": partial(plscan, min_samples=samples, measure=measure)
        for samples in (3, 5)
        for measure in ("size", "size-density")
    },
}
FORMATS = {"stories": ".0f", "noise": ".0%", "noise, joined": ".0%"}  # or .3f


def read_headlines(csv, cut=None, among=0):
    """Return a CSV's headlines, copies merged; the story of each, ""; and whether it was cut.

    cut, among: as in `cut_stories`; what is left out there is left out here."""
    news, truth = make_news(read_table(csv))
    kept, is_cut = np.arange(len(news)), np.zeros(len(news), dtype=bool)
    if cut:
        kept, is_cut = cut_stories(truth, *cut, among)
    return news.iloc[kept].reset_index(drop=True), truth[kept], is_cut


def cut_stories(truth, low, high, among=0):
    """Return the rows that are left where each story keeps `low` to `high` of its headlines, and
    for each of them whether it is of a story that was cut. All at random, seed 0.

    among: so many headlines of other stories are added. Then the first half of the stories, by
    name, is cut, and the others are of the second half."""
    random, stories = np.random.default_rng(0), sorted(set(truth) - {""})
    few = stories[: len(stories) // 2] if among else stories
    parts = [
        random.permutation(np.flatnonzero(truth == story))[: random.integers(low, high + 1)]
        for story in few
    ]
    others = np.flatnonzero((truth != "") & ~np.isin(truth, few))
    rows = np.sort(np.concatenate([*parts, random.permutation(others)[:among]]))
    return rows, np.isin(truth[rows], few)


def embed(news, embedding):
    """Return the vectors of these headlines: of lsa, of a model in a folder, or from a .npy file.

    Such a file has a row for each of the CSV. lsa learns from these headlines alone."""
    if Path(embedding).suffix == ".npy":
        return np.load(embedding)[news["row"]]
    with redirect_stdout(io.StringIO()):  # what it says about lsa
        _, embed_texts = load_embedding(embedding, news["text"])
    return np.vstack([embed_texts(news["text"][part]) for part in batches(len(news), 256)])


def compare_stories(csv, embeddings, cut=None, among=0, orders=ORDERS):
    """Print for each embedding how well each way finds the stories, and what each candidate gives;
    then a table of all, with the F of each way, the noise that leans joined."""
    summary = {}
    for embedding in embeddings:
        news, truth, is_cut = read_headlines(csv, cut, among)
        vectors, case = embed(news, embedding), f"{csv.stem}, {Path(embedding).stem}"
        case += ", {} to {} of a story".format(*cut) if cut else ""
        case += f", among {among:,}" if among else ""
        print(
            f"{case}: {len(news)} headlines, {sum(truth != '')} of them tell "
            f"{len(set(truth) - {''})} stories; vectors of {vectors.shape[1]} numbers\n"
        )
        marks = partial(scores, truth=truth, few=np.where(is_cut, truth, "") if among else None)
        ways, candidates, line = compare_ways(vectors, marks, orders)
        print_table([table_row(way, found) for way, found in ways.items()])
        print()
        print_table([candidate_row(*row) for row in candidates.iterrows()])
        print()
        for way, found in ways.items():
            columns = pd.DataFrame(found).filter(regex="joined").filter(regex="^F")
            line[way] = ", ".join(columns.mean().map("{:.3f}".format))
        summary[case] = line
    print_table(
        [{"": name} | {case: line.get(name, "") for case, line in summary.items()} for name in line]
    )


def compare_ways(vectors, marks, orders=ORDERS):
    """Return {way: a dictionary of figures for each order of the rows}, the table of candidates
    with their F, and what was chosen: a dictionary of strings.

    marks: as `scores`, with the truth filled in. Of each candidate every link is proven. One order
    is enough for this notebook: its tests see that it finds the same in any."""
    neighbours = exact_neighbours(vectors)
    candidates, chosen = try_all(neighbours)
    found = [
        marks(find_stories(vectors, neighbours, row), neighbours=neighbours)
        for _, row in candidates.iterrows()
    ]
    candidates["F, proven"] = [figures["F, joined"] for figures in found]
    candidates["chosen"] = np.where(candidates.index == chosen.name, "chosen", "")
    ways = {"the data chooses": [found[chosen.name]]}
    is_three = candidates["MIN_SAMPLES"] == 3
    if is_three.any():
        ways["`MIN_SAMPLES=3`"] = [found[choose(candidates[is_three]).name]]
    ways["best candidate"] = [found[candidates["F, proven"].idxmax()]]
    best, own = candidates.loc[candidates["F, proven"].idxmax()], found[chosen.name]
    chosen = {
        "chosen": named(chosen),
        "best": named(best),
        "stories found": f"{own['stories']}",
        "noise, joined": f"{own['noise, joined']:.0%}",
    }
    return ways | other_ways(vectors, neighbours, marks, orders), candidates, chosen


def other_ways(vectors, neighbours, marks, orders):
    """Return {way: figures for each order of the rows} of the other ways that are installed.

    Average linkage, to which all orders are alike, is cut where its F is best."""
    ways = {}
    for seed in range(orders):
        order = np.random.default_rng(seed).permutation(len(vectors))
        for name, way in OTHER_WAYS.items():
            labels = np.empty(len(vectors), dtype=int)
            try:
                labels[order] = way(vectors[order])
            except ImportError:
                continue
            ways.setdefault(name, []).append(marks(labels, neighbours=neighbours))
    cuts = [marks(labels, neighbours=neighbours) for labels in average_linkage(vectors, HEIGHTS)]
    best = max(range(len(cuts)), key=lambda cut: cuts[cut]["F, joined"])
    return ways | {f"average linkage, best of {len(cuts)} cuts": [cuts[best]]}


def scores(labels, truth, neighbours, few=None):
    """Return figures by name. truth: the story of each of n headlines, "" for none.

    *joined*: the noise that leans by this notebook's rule is in the story that it leans to. few:
    the truth of the headlines whose stories were cut, for an F of their own."""
    joined = with_leaning(labels, neighbours)
    precision, recall, f = b_cubed(truth, labels)
    own_stories = np.where(truth == "", np.arange(len(truth)).astype(str), truth)
    told, clustered = truth != "", (truth != "") & (labels >= 0)
    apart = np.where(labels >= 0, labels, -1 - np.arange(len(labels)))  # each of the noise alone
    figures = {
        "precision": precision,
        "recall": recall,
        "F": f,
        "F, joined": b_cubed(truth, joined)[2],
    }
    if few is not None:
        figures["F of the cut stories, joined"] = b_cubed(few, joined)[2]
    return figures | {
        "F of all": b_cubed(own_stories, labels)[2],
        "Rand": adjusted_rand_score(truth[told], apart[told]),
        "homogeneity": homogeneity_score(truth[clustered], labels[clustered]),
        "stories": labels.max() + 1,
        "noise": np.mean(labels < 0),
        "noise, joined": np.mean(joined < 0),
    }


def table_row(way, found):
    """Return a row of the table: the mean of each figure over the orders, and the range of F."""
    figures = pd.DataFrame(found)
    means = {name: f"{mean:{FORMATS.get(name, '.3f')}}" for name, mean in figures.mean().items()}
    if len(found) > 1:
        means["F"] += f" ({figures['F'].min():.3f} to {figures['F'].max():.3f})"
    return {"way": way} | means


def candidate_row(_, candidate):
    """Return a row of the table of candidates."""
    formats = {"limit": ",.0f", "stories": ".0f", "noise": ".0%", "largest": ".0%", "chosen": ""}
    row = {name: f"{candidate[name]:{formats.get(name, '.3f')}}" for name in candidate.index[1:]}
    row["limit"] = row["limit"] if candidate["limit"] else ""
    return {"`MIN_SAMPLES`": f"{candidate['MIN_SAMPLES']:.0f}"} | row


def named(candidate):
    """Return what a candidate is called: its number, and its limit if it has one."""
    limit = f", at most {candidate['limit']:.0f}" if candidate["limit"] else ""
    return f"{candidate['MIN_SAMPLES']:.0f}{limit}"


def compare_without(csv, embeddings, share, repeat):
    """Print what is chosen, and what stories and themes there are, of all headlines and `repeat`
    times without a share of them, drawn at random.

    Stories and themes agree with those of all headlines by the adjusted Rand index, over the
    headlines that are in a story, or lean to one, both times."""
    rows = []
    for embedding in embeddings:
        news, _, _ = read_headlines(csv)
        before, row = choose_and_join(news, embedding)
        rows.append({"headlines": f"{csv.stem}, {Path(embedding).stem}, all"} | row)
        for seed in range(repeat):
            random = np.random.default_rng(seed)
            kept = np.sort(random.permutation(len(news))[round(share * len(news)) :])
            after, row = choose_and_join(news.iloc[kept].reset_index(drop=True), embedding)
            both = (before[kept].min(axis=1) >= 0) & (after.min(axis=1) >= 0)
            for column, name in enumerate(["stories agree", "themes agree"]):
                pair = before[kept][both, column], after[both, column]
                row[name] = f"{adjusted_rand_score(*pair):.2f}"
            rows.append({"headlines": f"without {share:.0%}, draw {seed}"} | row)
    print_table(rows)


def choose_and_join(news, embedding):
    """Return the story and the theme of each headline, n x 2 numbers, and a row of a table."""
    vectors = embed(news, embedding)
    neighbours = exact_neighbours(vectors)
    _, chosen = try_all(neighbours)
    labels = find_stories(vectors, neighbours, chosen)
    joined, told = with_leaning(labels, neighbours), labels >= 0
    rows = np.bincount(labels[told], news["rows"][told])
    themes = find_themes(story_centres(vectors, labels), rows)
    sizes = np.bincount(themes)
    row = {
        "chosen": named(chosen),
        "stories": str(len(themes)),
        "noise": f"{np.mean(joined < 0):.0%}",
        "themes": str(len(sizes)),
        "largest theme": f"{sizes.max() / len(themes):.0%} of the stories",
    }
    return np.column_stack([joined, np.append(themes, -1)[joined]]), row
