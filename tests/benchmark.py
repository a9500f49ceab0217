"""What the notebook's way finds, and how fast, beside other ways. By hand, on Linux; benchmark.md
has the results. N_NEIGHBORS, MIN_SAMPLES, MIN_CLUSTER_SIZE and MAX_CLUSTER_SIZE come from the
environment, as in the notebook.

python tests/benchmark.py --labelled FILE.csv [--embeddings lsa FILE.npy FOLDER ...]
        [--cut 3 5 [--among 1500]]
    Which way finds the stories that people have told apart (columns title and story), all on the
    same vectors: of lsa, from a file, a row for each row of the CSV, or of a model in a folder.
    With --cut every story keeps 3 to 5 headlines; with --among, half of the stories are cut, and
    so many headlines of the others stand around them.
    With the packages evoc, fast-plscan, leidenalg and igraph, EVoC, PLSCAN and Leiden are among
    the ways.
python tests/benchmark.py --labelled FILE.csv [--embeddings ...] --drop 0.02 [--repeat 10]
    How what is chosen, the stories and the themes change without 2 % of the headlines.
python tests/benchmark.py --proof [--labelled FILE.csv ... | --far 333 60]
    Whether the tree is that of all pairs, with 16 and with 50 neighbours, before and after the
    proof, and what it takes: of a CSV's vectors, of so many far groups of one size, or, with
    neither, of 18 made-up stories of 60 to 150 rows, 12 times.
python tests/benchmark.py --sections 1000 5000 20000 [--notebook FILE.ipynb]
    Seconds of each section of the notebook, or of another one, as a reader waits for them: on so
    many made-up headlines, with lsa and Milvus Lite, each time in a kernel of its own.
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
from benchmark_sections import time_sections
from benchmark_speed import NOTEBOOK_WAYS, OTHER_WAYS, compare_speed, measure_table
from benchmark_stories import (
    compare_stories,
    compare_without,
    embed,
    read_headlines,
)
from notebook import PATH as NOTEBOOK


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labelled", type=Path, help="a CSV with the columns title and story")
    parser.add_argument(
        "--embeddings",
        nargs="+",
        default=["lsa"],
        help="of --labelled: lsa, .npy files, or models' folders",
    )
    parser.add_argument("--cut", type=int, nargs=2, help="of --labelled: headlines a story keeps")
    parser.add_argument("--among", type=int, default=0, help="of --cut: headlines not cut")
    parser.add_argument(
        "--orders", type=int, default=5, help="of --labelled: orders of the rows for the other ways"
    )
    parser.add_argument("--drop", type=float, help="of --labelled: the share to leave out")
    parser.add_argument("--proof", action="store_true", help="examine the proof, not the ways")
    parser.add_argument("--far", type=int, nargs=2, help="of --proof: how many groups, how large")
    parser.add_argument("--sections", type=int, nargs="+", default=[], help="how many headlines")
    parser.add_argument("--notebook", type=Path, default=NOTEBOOK, help="of --sections")
    parser.add_argument("--rows", type=int, nargs="+", default=[], help="how many random vectors")
    parser.add_argument(
        "--ways",
        nargs="+",
        choices=[*NOTEBOOK_WAYS, *OTHER_WAYS],
        default=["lite", "server", "server-hnsw", *OTHER_WAYS],
        help="of --rows",
    )
    parser.add_argument("--save", type=Path, help="write the figures of --rows here, as JSON")
    parser.add_argument("--load", type=Path, nargs="+", default=[], help="take these figures, too")
    parser.add_argument("--chart", type=Path, help="draw the figures here, as SVG or PNG")
    parser.add_argument("--table", type=int, help="how many points")
    parser.add_argument("--embedding", action="store_true", help="measure the embedding")
    parser.add_argument("--layers", type=int, default=24, help="of the model; less: a quick check")
    parser.add_argument(
        "--repeat",
        type=int,
        default=2,
        help="of --embedding: take the best of so many; of --drop: draw so often",
    )
    return parser.parse_args()


def main():
    given = arguments()
    print(
        f"{N_NEIGHBORS=}, MIN_SAMPLES={MIN_SAMPLES or 'as the data chooses'},",
        f"{MIN_CLUSTER_SIZE=}, MAX_CLUSTER_SIZE={MAX_CLUSTER_SIZE or 'as the data chooses'}\n",
    )
    if given.proof:
        examine(given)
    elif given.drop:
        compare_without(given.labelled, given.embeddings, given.drop, given.repeat)
    elif given.labelled:
        compare_stories(given.labelled, given.embeddings, given.cut, given.among, given.orders)
    if given.sections:
        time_sections(given.notebook, given.sections)
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
        news, _, _ = read_headlines(given.labelled)
        for embedding in given.embeddings:
            case = f"{given.labelled.stem}, {Path(embedding).stem}"
            compare_proof(case, [embed(news, embedding)])
    elif given.far:
        count, size = given.far
        compare_proof(f"{count:,} far groups of {size}", [make_far_groups(count, size)])
    else:
        compare_proof("18 stories of 60 to 150", [make_stories(seed) for seed in range(12)])


if __name__ == "__main__":
    main()
