"""What the notebook's way finds, and how fast, beside other ways. By hand, on Linux; benchmark.md has the results.

python tests/benchmark.py --labelled FILE.csv [--model lsa]
    Which way finds the stories that people have told apart (columns title and story), all on the same vectors, of lsa
    or of a model in a folder. With the package evoc, EVoC is among them.
python tests/benchmark.py --rows 1000 5000 20000 [--ways lite server ...] [--save FILE.json]
    Seconds and memory from random vectors to a map, each way in a process of its own.
python tests/benchmark.py --load FILE.json ... [--chart FILE.svg]
    The tables of figures that were saved, and a chart of the seconds.
python tests/benchmark.py --table 1000000
    Seconds and memory from a table of the exact neighbours of so many points to their labels.
python tests/benchmark.py --embedding [--layers 24] [--repeat 2]
    Headlines per second through a model of BGE-M3's size with random weights; 2 GB of disk and 8 GB of memory.
"""
import argparse
import json
from pathlib import Path

from benchmark_chart import draw, print_speed
from benchmark_speed import NOTEBOOK_WAYS, OTHER_WAYS, compare_speed, measure_table
from benchmark_stories import compare_stories


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, help="a CSV with the columns title and story")
    parser.add_argument("--model", default="lsa", help="of --labelled: lsa, or the folder of a model")
    parser.add_argument("--rows", type=int, nargs="+", default=[], help="how many random vectors")
    parser.add_argument("--ways", nargs="+", choices=[*NOTEBOOK_WAYS, *OTHER_WAYS], help="of --rows",
                        default=["lite", "server", "server-hnsw", *OTHER_WAYS])
    parser.add_argument("--save", type=Path, help="write the figures of --rows here, as JSON")
    parser.add_argument("--load", type=Path, nargs="+", default=[], help="take these figures, too")
    parser.add_argument("--chart", type=Path, help="draw the figures here, as SVG or PNG")
    parser.add_argument("--table", type=int, help="how many points")
    parser.add_argument("--embedding", action="store_true", help="measure the embedding")
    parser.add_argument("--layers", type=int, default=24, help="of the model; less for a quick check")
    parser.add_argument("--repeat", type=int, default=2, help="take the best of so many")
    return parser.parse_args()


def main():
    given = arguments()
    if given.labelled:
        model = given.model if given.model == "lsa" else str(Path(given.model).resolve())
        compare_stories(given.labelled.resolve(), model)
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
        from benchmark_embedding import measure_embedding  # torch is no part of what the others measure
        measure_embedding(given.layers, given.repeat)


if __name__ == "__main__":
    main()
