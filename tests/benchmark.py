"""What the notebook's way finds, and how fast, beside other ways. By hand, on Linux; benchmark.md
has the results. N_NEIGHBORS, MIN_SAMPLES, MIN_CLUSTER_SIZE and MAX_CLUSTER_SIZE come from the
environment, as in the notebook.

python tests/benchmark.py --labelled FILE.csv [--model lsa | --vectors FILE.npy]
    Which way finds the stories that people have told apart (columns title and story), all on the
    same vectors: of lsa, of a model in a folder, or from a file, a row for each row of the CSV.
    With the packages evoc, leidenalg and igraph, EVoC and Leiden are among them.
python tests/benchmark.py --proof [--labelled FILE.csv ... | --far 333 60]
    Whether the tree is that of all pairs, with 16 and with 50 neighbours, before and after the
    proof, and what the proof takes: of a CSV's vectors, of so many far groups of one size, or,
    with neither, of 18 made-up stories of 60 to 150 rows, 12 times.
python tests/benchmark.py --rows 1000 5000 20000 [--ways lite server ...] [--save FILE.json]
    Seconds and memory from random vectors to a map, each way in a process of its own.
python tests/benchmark.py --load FILE.json ... [--chart FILE.svg]
    The tables of figures that were saved, and a chart of the seconds.
python tests/benchmark.py --table 1000000
    Seconds and memory from a table of the neighbours of so many points to their labels.
python tests/benchmark.py --embedding [--layers 24] [--repeat 2]
    Headlines per second through a model of BGE-M3's size with random weights; 2 GB of disk and
    8 GB of memory.
"""
import argparse
import json
from pathlib import Path

from benchmark_chart import draw, print_speed
from benchmark_notebook import (
    MAX_CLUSTER_SIZE,
    MIN_CLUSTER_SIZE,
    MIN_SAMPLES,
    N_NEIGHBORS,
)
from benchmark_proof import compare_proof, make_far_groups, make_stories
from benchmark_speed import NOTEBOOK_WAYS, OTHER_WAYS, compare_speed, measure_table
from benchmark_stories import compare_stories, read_headlines


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, help="a CSV with the columns title and story")
    parser.add_argument("--model", default="lsa", help="of --labelled: lsa, or a model's folder")
    parser.add_argument("--vectors", type=Path, help="of --labelled: a .npy file, not a model")
    parser.add_argument("--proof", action="store_true", help="examine the proof, not the ways")
    parser.add_argument("--far", type=int, nargs=2, help="of --proof: how many groups, how large")
    parser.add_argument("--rows", type=int, nargs="+", default=[], help="how many random vectors")
    parser.add_argument("--ways", nargs="+", choices=[*NOTEBOOK_WAYS, *OTHER_WAYS],
                        default=["lite", "server", "server-hnsw", *OTHER_WAYS], help="of --rows")
    parser.add_argument("--save", type=Path, help="write the figures of --rows here, as JSON")
    parser.add_argument("--load", type=Path, nargs="+", default=[], help="take these figures, too")
    parser.add_argument("--chart", type=Path, help="draw the figures here, as SVG or PNG")
    parser.add_argument("--table", type=int, help="how many points")
    parser.add_argument("--embedding", action="store_true", help="measure the embedding")
    parser.add_argument("--layers", type=int, default=24, help="of the model; less: a quick check")
    parser.add_argument("--repeat", type=int, default=2, help="take the best of so many")
    return parser.parse_args()


def main():
    given = arguments()
    print(f"{N_NEIGHBORS=}, {MIN_SAMPLES=}, {MIN_CLUSTER_SIZE=},",
          f"MAX_CLUSTER_SIZE={MAX_CLUSTER_SIZE or 'a quarter of the rows, at least 50'}\n")
    if given.proof:
        examine(given)
    elif given.labelled:
        compare_stories(given.labelled, given.model, given.vectors)
    figures = [figure for file in given.load for figure in json.loads(file.read_text())]
    for rows in given.rows:
        before = figures
        for measured in compare_speed(rows, given.ways):  # after each way, for one may take an hour
            figures = before + measured
            if given.save:
                given.save.write_text(json.dumps(figures, indent=1))
    if figures:
        print_speed(figures)
    if given.chart:
        draw(figures, given.chart)
    if given.table:
        measure_table(given.table)
    if given.embedding:
        from benchmark_embedding import (
            measure_embedding,  # transformers is no part of the others
        )
        measure_embedding(given.layers, given.repeat)


def examine(given):
    """Print the proof's table of the vectors that are asked for."""
    if given.labelled:
        _, vectors, _ = read_headlines(given.labelled, given.model, given.vectors)
        source = given.vectors or given.model
        compare_proof(f"{given.labelled.stem}, {Path(source).stem}", [vectors])
    elif given.far:
        count, size = given.far
        compare_proof(f"{count:,} far groups of {size}", [make_far_groups(count, size)])
    else:
        compare_proof("18 stories of 60 to 150", [make_stories(seed) for seed in range(12)])


if __name__ == "__main__":
    main()
