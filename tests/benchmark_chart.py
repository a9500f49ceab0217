"""The benchmark's tables, in markdown, and its chart."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from sklearn.isotonic import isotonic_regression

WAYS = {
    "lite": "this notebook, Milvus Lite",
    "lite-l2": "this notebook, Milvus Lite, L2",
    "lite-hnsw": "this notebook, Milvus Lite, HNSW",
    "server": "this notebook, Milvus server",
    "server-hnsw": "this notebook, Milvus server, HNSW",
    "published": "published tutorial",
    "no-database": "HDBSCAN without a database",
    "umap-first": "UMAP to 5 numbers first",
}
STAGES = "store", "neighbours", "choice", "tree", "stories", "map"
TO_MAP = STAGES[1:]  # storing is left out of comparisons
GREY, SIZE, HEIGHT = "#7a838d", 14, 440
COLOURS = {
    "lite": "#2e91e5",
    "server": "#12a37f",
    "published": GREY,
    "no-database": GREY,
    "umap-first": GREY,
}  # of the lines in the chart, for light and dark pages


def print_table(rows):
    """Print dictionaries of strings as a table; what a row does not have is left empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row.get(name, '') for name in columns)} |")


def short(number):
    """Return a number of seconds or times with one digit after the point if it is small."""
    return f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"


def to_map(figures):
    """Return the seconds from neighbours to map."""
    return sum(figures["seconds"].get(stage, 0) for stage in TO_MAP)


def print_speed(all_figures):
    """Print seconds and memory of all ways, then what the notebook finds on each backend."""
    published = {
        figures["rows"]: to_map(figures)
        for figures in all_figures
        if figures["way"] == "published" and "seconds" in figures
    }
    print_table([speed_row(figures, published.get(figures["rows"])) for figures in all_figures])
    rows = [index_row(figures) for figures in all_figures if "recall" in figures]
    if rows:
        print()
        print_table(rows)


def speed_row(figures, published):
    """Return a row of strings; `published` is the time of the published way, if it was measured."""
    name = WAYS[figures["way"]]
    if "server MB" in figures:
        name += f" ({figures['server MB']:,.0f} MB)"
    row = {"rows": f"{figures['rows']:,}", "way": name}
    if "failed" in figures:
        return row | {"store": figures["failed"]}
    for stage in STAGES:
        row[stage] = ""
        if stage in figures["seconds"]:
            row[stage] = f"{short(figures['seconds'][stage])} / {figures['MB'][stage]:,.0f}"
    if "groups" in figures:
        row["proof"] = f"{figures['groups']:,} groups"
        row["chosen"] = str(figures.get("min_samples", ""))
    row["neighbours to map"] = f"{short(to_map(figures))} s"
    row["as fast"] = f"{short(published / to_map(figures))} ×" if published else ""
    row["agreement"] = f"{figures['all pairs']:.2f}" if "all pairs" in figures else ""
    return row | {"truth": f"{figures['truth']:.2f}"}


def index_row(figures):
    """Return a row of strings on the search of one of the notebook's ways."""
    seconds = figures["seconds"]
    return {
        "rows": f"{figures['rows']:,}",
        "way": WAYS[figures["way"]],
        "store": f"{short(seconds['store'])} s",
        "recall": f"{figures['recall']:.3f}",
        "agreement with exact": f"{figures['exact']:.3f}",
        "with all pairs": f"{figures['all pairs']:.3f}" if "all pairs" in figures else "",
        "rows searched per second": f"{figures['rows'] / seconds['neighbours']:,.0f}",
    }


def draw(all_figures, file):
    """Draw seconds from neighbours to map against rows, a line for each way, as SVG or PNG."""
    table = pd.DataFrame(
        [
            {
                "rows": figures["rows"],
                "way": figures["way"],
                "seconds": to_map(figures),
                "is_wrong": figures["truth"] < 0.5,
            }
            for figures in all_figures
            if figures["way"] in COLOURS and "seconds" in figures
        ]
    )
    table = table.sort_values("rows")
    low, high = np.log10([table["seconds"].min() / 1.25, table["seconds"].max() * 1.25])
    chart = go.Figure()
    for way, line in table.groupby("way"):
        is_ours, is_wrong = COLOURS[way] != GREY, line["is_wrong"].iloc[-1]
        style = {
            "color": COLOURS[way],
            "width": 2 + is_ours,
            "dash": "dash" if is_wrong else "solid",
        }
        chart.add_scatter(
            x=line["rows"],
            y=line["seconds"],
            mode="lines+markers",
            marker_size=6,
            line=style,
            zorder=int(is_ours),
        )
    for end in ends_of_lines(table, low, high).itertuples():
        font = {"color": COLOURS[end.way], "weight": 700 if COLOURS[end.way] != GREY else 400}
        chart.add_annotation(
            x=np.log10(end.rows),
            y=end.height,
            yref="paper",
            text=WAYS[end.way],
            font=font,
            xanchor="left",
            xshift=9,
            yanchor="middle",
            showarrow=False,
        )
    lay_out(chart, table["rows"].unique(), low, high)
    chart.write_image(file, width=840, height=HEIGHT, scale=1 if file.suffix == ".svg" else 2)


def ends_of_lines(table, low, high):
    """Return the last row of each way, and the height (0 to 1) for its name.

    Names that would touch are moved apart.
    """
    ends = table.groupby("way").tail(1).sort_values("seconds")
    height = (np.log10(ends["seconds"]) - low) / (high - low)
    room = ends.groupby("rows").cumcount() * (SIZE + 6) / (HEIGHT - 120)
    ends["height"] = (height - room).groupby(ends["rows"]).transform(isotonic_regression) + room
    return ends


def lay_out(chart, rows, low, high):
    """Give the chart its axes and titles; `low` and `high` are powers of ten of the seconds."""
    axis = {
        "type": "log",
        "tickformat": ",",
        "gridcolor": "rgba(122,131,141,0.25)",
        "zeroline": False,
        "title_font_size": SIZE,
    }
    chart.update_xaxes(
        **axis,
        tickvals=rows,
        title_text="headlines",
        showgrid=False,
        range=np.log10([min(rows) / 1.08, max(rows) * 1.03]),
    )
    ticks = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]
    chart.update_yaxes(**axis, tickvals=ticks, range=[low, high])
    subtitle = {"text": "dashed: finds other clusters than the true ones", "font_size": SIZE}
    chart.update_layout(
        title={
            "text": "Seconds from neighbours to map",
            "x": 0,
            "pad_l": 20,
            "font_size": 17,
            "subtitle": subtitle,
        },
        font={"family": "Helvetica, Arial, sans-serif", "size": SIZE, "color": GREY},
        showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 60, "r": 250, "t": 70, "b": 50},
    )
