"""The notebook as a file: its shape, its saved outputs, and what must agree with it."""
import json
import re
import statistics
import warnings
import zipfile

from packaging.requirements import Requirement

from conftest import CELLS, COMMAND, FIGURE, NOTEBOOK, ROOT, SETTINGS, SOURCE, executed

CODE = [cell for cell in CELLS if cell.cell_type == "code"]
OUTPUTS = [output for cell in CODE for output in cell.outputs]
FIGURES = [output.data for output in OUTPUTS if FIGURE in output.get("data", {})]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = CODE[0].source


def test_what_is_editorial_warns():
    """Bounds that keep the notebook readable in one sitting. Past one of them, look whether it still is."""
    lengths = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in CODE]
    drawn = next((number for number, cell in enumerate(CODE, 1) if FIGURE in str(cell.outputs)), len(CODE))
    search = next(number for number, cell in enumerate(CODE) if ".search(" in cell.source)
    figures = {
        "code cells": (len(CODE), 38), "lines of code": (sum(lengths), 325),
        "characters of code": (sum(len(cell.source) for cell in CODE), 22_500),
        "lines of the median cell": (statistics.median(lengths), 9), "lines of the longest cell": (max(lengths), 15),
        "characters of the longest line": (max(map(len, SOURCE.splitlines())), 95),
        "words of prose": (sum(len(cell.source.split()) for cell in CELLS if cell.cell_type == "markdown"), 2800),
        "bytes of the file": (NOTEBOOK.stat().st_size, 1_500_000), "pictures short of 7": (7 - len(FIGURES), 0),
        "lines to the first picture": (sum(lengths[:drawn]), 25),
        "lines before the first search": (sum(lengths[:search]), 145)}
    over = [f"{what}: {number:,}, more than {most:,}" for what, (number, most) in figures.items() if number > most]
    if over:
        warnings.warn("; ".join(over))


def test_every_code_cell_follows_some_words():
    for before, cell in zip(CELLS, CELLS[1:]):
        assert cell.source.strip() and (cell.cell_type == "markdown" or before.cell_type == "markdown")


def test_saved_outputs_are_of_one_clean_run():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not [output for output in OUTPUTS if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.search("Warning|WARN|/tmp/|/home/|/root/", json.dumps(
        [output for output in OUTPUTS if FIGURE not in output.get("data", {})]))
    assert FIGURES and all("image/png" in figure for figure in FIGURES)


def test_install_cell_agrees_with_requirements():
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    pinned = {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}
    wanted = re.sub(r"^%pip install --quiet|[\\\"]", " ", INSTALL).split()
    assert len(wanted) >= 8
    for requirement in map(Requirement, wanted):
        tested = str(pinned[requirement.name].specifier)
        assert tested.startswith("==") and requirement.extras == pinned[requirement.name].extras
        assert requirement.specifier.contains(tested.removeprefix("=="))


def test_install_cell_installs_what_is_missing_and_nothing_else(tmp_path):
    """pip only says what it would install, from a folder with one small package in it."""
    with zipfile.ZipFile(tmp_path / "smallpackage-1.5-py3-none-any.whl", "w") as files:
        about = "smallpackage-1.5.dist-info/"
        files.writestr("smallpackage.py", "")
        files.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: smallpackage\nVersion: 1.5\n")
        files.writestr(about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr(about + "RECORD", "")
    cells = enumerate([INSTALL + ' "smallpackage~=1.4,<2"'])
    found = executed(tmp_path, cells, PIP_DRY_RUN="1", PIP_FIND_LINKS=tmp_path, PIP_REPORT="report.json")
    assert found.status == 0 and not re.search("error|No matching", str(found.outputs), re.I)
    would_install = json.loads((tmp_path / "report.json").read_text())["install"]
    assert [package["metadata"]["name"] for package in would_install] == ["smallpackage"]


def test_settings_are_documented_with_their_defaults():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    example = dict(re.findall(r"^# (\w+)=(.*)$", text, re.M))
    assert set(example) == set(SETTINGS) and len(SETTINGS) >= 10
    assert not re.search(r"^\w+=", text, re.M)  # a copy of the file as it is changes nothing
    defaults = dict(re.findall(r"""setting\(['"](\w+)['"]\) or (\d+|"[^"]*"|'[^']*')""", SOURCE))
    assert len(defaults) >= 8
    for name, default in defaults.items():
        assert example[name] == default.strip("\"'"), name
    for name in "NEWS_CSV", "EMBEDDING_MODEL", "MILVUS_ADDRESS", "MIN_CLUSTER_SIZE":
        assert name in README, name


def test_ci_runs_the_commands_of_the_readme():
    commands = [block.strip() for block in re.findall(r"```bash\n(.*?)```", README, re.S)]
    assert any(f"/jupyter {COMMAND}" in command for command in commands)  # the tests execute it
    assert next(command for command in commands if "pytest" in command) in (ROOT / ".ci" / "run").read_text()
    assert "run: bash .ci/run" in (ROOT / ".github" / "workflows" / "tests.yml").read_text()


def test_sample_is_what_its_readme_says(sample):
    stories, said = sample["story"][sample["story"] != ""], (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert stories.value_counts().between(4, 15).all() and sample["title"].is_unique
    for figure in len(sample), stories.nunique(), len(stories), len(sample) - len(stories):
        assert str(figure) in said
