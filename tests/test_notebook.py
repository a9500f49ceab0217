"""The notebook as a file: its shape, its saved outputs, and what must agree with it."""
import json
import re
import subprocess
import zipfile

import nbformat
import pytest
from packaging.requirements import Requirement

from conftest import NOTEBOOK, ROOT, SAMPLE, SETTINGS

CELLS = nbformat.read(NOTEBOOK, 4).cells
CODE = [cell for cell in CELLS if cell.cell_type == "code"]
OUTPUTS = [output for cell in CODE for output in cell.outputs]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def requirements(path):
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_every_code_cell_follows_a_reason_and_none_is_empty_or_long():
    for before, cell in zip(CELLS, CELLS[1:]):
        assert cell.source.strip()
        if cell.cell_type == "code":
            assert before.cell_type == "markdown"
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= 20 and max(map(len, lines)) <= 100


def test_nothing_is_imported_but_in_the_first_two_cells():
    assert not [cell.source for cell in CODE[2:] if re.search(r"^\s*(import|from)\s", cell.source, re.M)]


def test_no_orm_and_no_renderer_code():
    source = "\n".join(cell.source for cell in CODE)
    assert not re.search(r"\bCollection\(|connections\.|utility\.|pio\.renderers|MILVUS_URI", source)


@pytest.mark.parametrize("path", [
    path for path in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not path.endswith(".png")])
def test_no_path_of_a_machine_in_any_file(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w./])/(root|home|work|opt|Users)/\w", text.replace("/home/runner", ""))


def test_install_cell_agrees_with_requirements():
    listing = re.search(r"NEEDED = \[(.*?)\]\n\n", CODE[0].source, re.S).group(0)
    namespace = {}
    exec(listing, namespace)
    needed = {requirement.name: requirement for requirement in map(Requirement, namespace["NEEDED"])}
    pinned = {requirement.name: requirement for requirement in requirements(ROOT / "requirements.txt")}
    assert set(needed) <= set(pinned)
    for name, requirement in needed.items():
        tested = str(pinned[name].specifier).removeprefix("==")
        assert requirement.specifier.contains(tested) and requirement.extras == pinned[name].extras


@pytest.fixture
def bare_kernel(new_kernel, tmp_path):
    """A kernel whose pip only says what it would install, from a folder with one small package in it."""
    wheel = tmp_path / "smallpackage-1.5-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr("smallpackage.py", "")
        files.writestr("smallpackage-1.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: smallpackage\nVersion: 1.5\n")
        files.writestr("smallpackage-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr("smallpackage-1.5.dist-info/RECORD", "")
    kernel = new_kernel(PIP_DRY_RUN="1", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path),
                        PIP_REPORT=str(tmp_path / "report.json"))
    kernel.report = tmp_path / "report.json"
    return kernel


def test_install_cell_does_nothing_where_all_is_there(bare_kernel):
    bare_kernel.execute(CODE[0].source)
    assert not bare_kernel.report.exists()


def test_install_cell_installs_what_is_missing_and_nothing_else(bare_kernel):
    bare_kernel.execute(CODE[0].source.replace('"pandas"', '"pandas", "smallpackage[extra]~=1.4,<2"'))
    would_install = json.loads(bare_kernel.report.read_text())["install"]
    assert [package["metadata"]["name"] for package in would_install] == ["smallpackage"]
    assert {"numpy", "torch", "pandas"} == {name.split("==")[0] for name in bare_kernel.value("missing")[1:]}


def test_requirements_are_pinned_and_say_what_for():
    for path in ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt":
        for line in path.read_text().splitlines()[1:]:
            assert "==" in line and re.search(r"#|which needs it| # a", line)


def test_settings_are_documented():
    assert len(SETTINGS) == len(set(SETTINGS)) == 13
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name in SETTINGS:
        assert re.search(rf"^# {name}=", example, re.M), name
        assert f"`{name}`" in README, name
    assert not re.search(r"^\w+=", example, re.M)  # a copy of the file as it is changes nothing


def test_defaults_in_the_example_are_those_of_the_notebook():
    example = dict(re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.M))
    source = "\n".join(cell.source for cell in CODE).replace("\n    ", " ")
    for name in SETTINGS:
        default = re.search(rf'setting\("{name}",(?:  #[^"]*)? *("[^"]*"|\d+)', source).group(1).strip('"')
        assert example[name] == default, name


def test_ci_runs_the_test_command_of_the_readme():
    commands = [block.strip() for block in re.findall(r"```bash\n(.*?)```", README, re.S)]
    assert commands[0].endswith("hdbscan_clustering_with_milvus.ipynb") and "nbconvert" in commands[0]
    test_command = next(command for command in commands if "pytest" in command)
    assert test_command in (ROOT / ".ci" / "run").read_text()
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    for command in commands[0], test_command:
        assert all(line.strip() in workflow for line in command.splitlines())


def test_every_top_level_entry_is_wanted():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert {path.split("/")[0] for path in tracked} == {
        ".ci", ".env.example", ".github", ".gitignore", "README.md", "data", "hdbscan_clustering_with_milvus.ipynb",
        "requirements.txt", "tests"}
    assert NOTEBOOK.stat().st_size < 1_000_000


def test_saved_outputs_are_of_one_clean_run():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not [output for output in OUTPUTS if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.search(r"Warning|WARN|it/s|\d%\|", json.dumps(
        [output for output in OUTPUTS if "application/vnd.plotly.v1+json" not in output.get("data", {})]))


def test_saved_map_is_a_figure_and_a_picture():
    figures = [output.data for output in OUTPUTS if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(figures) == 1 and "image/png" in figures[0]
    points = figures[0]["application/vnd.plotly.v1+json"]["data"][0]
    assert len(points["x"]) == SAMPLE.read_text(encoding="utf-8").count("\n") - 1  # lists, not base64


def test_sample_is_what_its_readme_says(sample):
    stories = sample["story"][sample["story"] != ""].value_counts()
    assert len(sample) >= 480 and len(stories) >= 45 and stories.between(4, 15).all()
    assert (sample["story"] == "").sum() >= 90 and sample["title"].is_unique
    assert sample["description"][sample["description"] != ""].is_unique
    said = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for figure in len(sample), len(stories), int(stories.sum()), int((sample["story"] == "").sum()):
        assert str(figure) in said
    assert not re.search(r'\[\[?"story"|\.story\b', "\n".join(cell.source for cell in CODE))  # it never reads it
