"""The notebook as a file: its shape, its saved outputs, and what must agree with it."""
import json
import re
import zipfile

import nbformat
from packaging.requirements import Requirement

from conftest import COMMAND, FIGURE, NOTEBOOK, ROOT, SETTINGS, executed

CELLS = nbformat.read(NOTEBOOK, 4).cells
CODE = [cell for cell in CELLS if cell.cell_type == "code"]
SOURCE = "\n".join(cell.source for cell in CODE)
OUTPUTS = [output for cell in CODE for output in cell.outputs]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = CODE[0].source


def test_it_reads_in_one_sitting():
    lines = [line for line in SOURCE.splitlines() if line.strip()]
    assert len(CODE) <= 36 and len(lines) <= 320 and sum(len(cell.source) for cell in CODE) <= 22_500
    assert max(map(len, lines)) <= 95
    assert sum(len(cell.source.split()) for cell in CELLS if cell.cell_type == "markdown") <= 2700
    for before, cell in zip(CELLS, CELLS[1:]):
        assert cell.source.strip() and (cell.cell_type == "markdown" or before.cell_type == "markdown")


def test_saved_outputs_are_of_one_clean_run():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not [output for output in OUTPUTS if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.search("Warning|WARN|/tmp/|/home/|/root/", json.dumps(
        [output for output in OUTPUTS if FIGURE not in output.get("data", {})]))
    assert NOTEBOOK.stat().st_size < 1_500_000


def test_saved_figures_are_also_pictures():
    figures = [output.data for output in OUTPUTS if FIGURE in output.get("data", {})]
    assert len(figures) >= 6 and all("image/png" in figure for figure in figures)


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
        files.writestr("smallpackage.py", "")
        files.writestr("smallpackage-1.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: smallpackage\nVersion: 1.5\n")
        files.writestr("smallpackage-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr("smallpackage-1.5.dist-info/RECORD", "")
    pip = {"DRY_RUN": "1", "NO_INDEX": "1", "FIND_LINKS": tmp_path, "REPORT": "report.json", "DISABLE_PIP_VERSION_CHECK": "1"}
    keep = "import pathlib\npathlib.Path('report.json').rename('nothing.json')"
    found = executed(tmp_path, [INSTALL, keep, INSTALL + ' "smallpackage~=1.4,<2"'], **{f"PIP_{name}": value for name, value in pip.items()})
    assert found.status == 0 and not re.search("error|No matching", str(found.outputs), re.I)
    for report, expected in ("nothing.json", []), ("report.json", ["smallpackage"]):
        would_install = json.loads((tmp_path / report).read_text())["install"]
        assert [package["metadata"]["name"] for package in would_install] == expected


def test_settings_are_documented_with_their_defaults():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    example = dict(re.findall(r"^# (\w+)=(.*)$", text, re.M))
    assert set(example) == set(SETTINGS) and len(SETTINGS) == len(set(SETTINGS)) == 11
    assert not re.search(r"^\w+=", text, re.M)  # a copy of the file as it is changes nothing
    for name in SETTINGS:
        assert example[name] == re.search(rf'setting\("{name}", "(.*?)"', SOURCE).group(1), name
    for name in "NEWS_CSV", "EMBEDDING_MODEL", "MILVUS_ADDRESS", "MIN_CLUSTER_SIZE":
        assert name in README, name


def test_ci_runs_the_commands_of_the_readme():
    commands = [block.strip() for block in re.findall(r"```bash\n(.*?)```", README, re.S)]
    assert any(f"/jupyter {COMMAND}" in command for command in commands)  # the tests execute it
    assert next(command for command in commands if "pytest" in command) in (ROOT / ".ci" / "run").read_text()
    assert "run: bash .ci/run" in (ROOT / ".github" / "workflows" / "tests.yml").read_text()


def test_sample_is_what_its_readme_says(sample):
    stories = sample["story"][sample["story"] != ""].value_counts()
    assert len(sample) >= 480 and len(stories) >= 45 and stories.between(4, 15).all()
    assert (sample["story"] == "").sum() >= 90 and sample["title"].is_unique
    said = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for figure in len(sample), len(stories), int(stories.sum()), int((sample["story"] == "").sum()):
        assert str(figure) in said
    assert not re.search(r"""["']story["']|\.story\b""", SOURCE)  # it never reads the true stories
