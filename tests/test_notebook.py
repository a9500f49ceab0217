"""The notebook as a file: its cells, its saved outputs, and what must agree with it."""

import ast
import base64
import collections
import itertools
import json
import re
import symtable
import zipfile

import pytest
from packaging.requirements import Requirement

from conftest import COMMAND, FIGURE, NOTEBOOK, executed
from notebook import CELLS, CODE, ROOT, SETTINGS, is_kept

FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # in Colab and in JupyterLab
PNG = b"\x89PNG\r\n\x1a\n"
SHOWN = [cell for cell in CODE if not cell.metadata]
OUTPUTS = [output for cell in CODE for output in cell.outputs]
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = CODE[0].source
TREES = [ast.parse(cell.source) for cell in CODE if not cell.source.startswith("%")]


# Cells


def test_each_cell_has_something_in_it():
    assert all(cell.source.strip() for cell in CELLS)


def test_a_shown_cell_follows_words_or_a_folded_cell():
    for before, cell in itertools.pairwise(CELLS):
        if cell in SHOWN:
            assert before.cell_type == "markdown" or before not in SHOWN, cell.source


def test_cells_are_folded_in_jupyterlab_and_colab_or_in_neither():
    assert {json.dumps(cell.metadata, sort_keys=True) for cell in CODE} == {
        "{}",
        json.dumps(FOLDED, sort_keys=True),
    }


def test_a_folded_cell_begins_with_the_line_that_is_left_of_it():
    for cell in CODE:
        title = re.match(r"# @title [A-Z].*[^.:\n]\n", cell.source)
        assert bool(title) == (cell not in SHOWN), cell.source[:80]


def test_no_two_folded_cells_have_one_title():
    titles = [cell.source.splitlines()[0] for cell in CODE if cell not in SHOWN]
    assert len(set(titles)) == len(titles) > 20


def test_a_folded_cell_has_no_output():
    assert not [cell.source[:80] for cell in CODE if cell not in SHOWN and cell.outputs]


def test_shown_cells_are_short():
    """Those with a function to copy may have a few lines more."""
    for cell in SHOWN:
        length = sum(bool(line.strip()) for line in cell.source.splitlines())
        assert length <= (14 if re.search("^(def|class) ", cell.source, re.MULTILINE) else 10), (
            cell.source
        )


def test_no_function_has_more_than_six_arguments():
    """Where more would travel together, they belong into a table."""
    many = [
        node.name
        for tree in TREES
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        if len(node.args.args + node.args.kwonlyargs + node.args.posonlyargs) > 6
    ]
    assert many == []


def test_lines_of_code_fit_into_a_window():
    lines = [line for cell in CODE for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 100] == []


def test_imports_stand_in_the_first_section():
    headings = [
        number
        for number, cell in enumerate(CELLS)
        if cell.cell_type == "markdown" and re.search("^## ", cell.source, re.MULTILINE)
    ]
    for cell in CELLS[headings[1] :]:
        if cell.cell_type == "code":
            imports = [
                node
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, (ast.Import, ast.ImportFrom))
            ]
            assert imports == [], cell.source[:80]


# Functions and names


def test_every_function_says_what_it_does():
    """Those that others can call; a function inside another is explained by it."""
    for tree in TREES:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                assert re.match(r"[A-Z]\w+.*[.:]", text, re.DOTALL), node.name


def assigned(statement):
    """Return the names that a statement of a cell assigns, but for those that a loop counts."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return set()
    names, counters = set(), set()
    nodes = [statement]
    while nodes:
        node = nodes.pop()
        if isinstance(
            node,
            (
                ast.Lambda,
                ast.ListComp,
                ast.SetComp,
                ast.DictComp,
                ast.GeneratorExp,
                ast.FunctionDef,
            ),
        ):
            continue
        if isinstance(node, ast.For):
            counters |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        nodes += ast.iter_child_nodes(node)
    return names - counters - {"_"}


def test_a_name_means_one_thing():
    """No two cells assign the same name, and no function, import or setting takes it."""
    cells = collections.defaultdict(set)
    for number, tree in enumerate(TREES):
        for statement in tree.body:
            for name in assigned(statement):
                cells[name].add(number)
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                cells[statement.name].add(number)
    assert {name: numbers for name, numbers in cells.items() if len(numbers) > 1} == {}


def globals_read(table):
    """Return the global names that a function reads, and the functions inside it."""
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_global() and symbol.is_referenced()
    }
    return names.union(*map(globals_read, table.get_children()))


def test_no_function_reads_what_a_cell_computes():
    """But imports, functions, and constants in capitals whose values stand in the notebook."""
    computed = {
        name
        for tree in TREES
        for statement in tree.body
        if not is_kept(statement)
        for name in assigned(statement)
    }
    hidden, functions = (
        {},
        {node.name for tree in TREES for node in tree.body if isinstance(node, ast.FunctionDef)},
    )
    for cell in CODE:
        if not cell.source.startswith("%"):
            for table in symtable.symtable(cell.source, "cell", "exec").get_children():
                if table.get_name() in functions:
                    hidden[table.get_name()] = globals_read(table) & computed
    assert len(hidden) == len(functions) > 50
    assert {name: names for name, names in hidden.items() if names} == {}


# Saved outputs


def test_the_saved_outputs_are_those_of_one_clean_run():
    assert [cell.execution_count for cell in CODE] == list(range(1, len(CODE) + 1))
    assert not [output for output in OUTPUTS if output.output_type == "error"]
    assert not [output for output in OUTPUTS if output.get("name") == "stderr"]


def test_the_saved_outputs_name_no_machine_and_no_warning():
    texts = json.dumps([output for output in OUTPUTS if FIGURE not in output.get("data", {})])
    assert not re.search(r"Warning|WARN|/tmp/|/home/|/root/|/work/", texts)


def test_each_saved_picture_is_also_a_png():
    figures = [output.data for output in OUTPUTS if FIGURE in output.get("data", {})]
    assert len(figures) >= 7
    for figure in figures:
        assert base64.b64decode(figure.get("image/png", "")).startswith(PNG)


def test_nearly_all_shown_cells_have_an_output():
    bare = [cell.source for cell in SHOWN if not cell.outputs]
    assert len(bare) <= 4, bare


def test_the_picture_of_the_opening_is_carried_by_the_file():
    opening = CELLS[0]
    (name,) = re.findall(r"!\[[^\]]+\]\(attachment:(.+?)\)", opening.source)
    picture = base64.b64decode(opening.attachments[name]["image/png"])
    assert picture.startswith(PNG) and len(picture) < 150_000


def test_the_file_is_small_enough_to_open_anywhere():
    assert NOTEBOOK.stat().st_size < 1_500_000


# What must agree with it


def pinned():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = filter(None, (line.split("#")[0].strip() for line in lines))
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def wanted():
    return map(Requirement, re.sub(r"^%pip install --quiet|[\\\"]", " ", INSTALL).split())


@pytest.mark.parametrize("requirement", list(wanted()), ids=str)
def test_the_install_line_admits_what_requirements_pin(requirement):
    tested = pinned()[requirement.name]
    version = str(tested.specifier).removeprefix("==")
    assert str(tested.specifier) == f"=={version}" and requirement.extras == tested.extras
    assert requirement.specifier.contains(version)


def test_the_install_cell_installs_what_is_missing_and_nothing_else(tmp_path):
    """pip only says what it would install, from a folder with one small package in it."""
    with zipfile.ZipFile(tmp_path / "smallpackage-1.5-py3-none-any.whl", "w") as files:
        about = "smallpackage-1.5.dist-info/"
        files.writestr("smallpackage.py", "")
        files.writestr(
            about + "METADATA", "Metadata-Version: 2.1\nName: smallpackage\nVersion: 1.5\n"
        )
        files.writestr(
            about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        files.writestr(about + "RECORD", "")
    found = executed(
        tmp_path,
        [INSTALL + ' "smallpackage~=1.4,<2"'],
        PIP_DRY_RUN="1",
        PIP_FIND_LINKS=tmp_path,
        PIP_REPORT="report.json",
    )
    assert found.status == 0
    assert not re.search("error|No matching", str(found.outputs), re.IGNORECASE), found.outputs
    would_install = json.loads((tmp_path / "report.json").read_text())["install"]
    assert [package["metadata"]["name"] for package in would_install] == ["smallpackage"]


def test_every_setting_is_in_the_example_with_its_default():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    example = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert example == {name: default for name, (default, _) in SETTINGS.items()}
    assert len(SETTINGS) >= 14


def test_a_copy_of_the_example_changes_nothing():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert all(line.startswith("# ") or not line for line in text.splitlines())


def test_the_readme_names_the_settings_that_most_readers_need():
    for name in "NEWS_CSV", "EMBEDDING_MODEL", "MILVUS_ADDRESS", "MIN_CLUSTER_SIZE":
        assert name in README, name


def test_ci_runs_the_commands_of_the_readme():
    commands = [block.strip() for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)]
    assert any(f"/jupyter {COMMAND}" in command for command in commands)  # the tests execute it
    tests = next(command for command in commands if "pytest" in command)
    assert tests in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflows = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert "run: bash .ci/run" in workflows


def test_the_sample_is_what_its_readme_says(sample):
    stories = sample["story"][sample["story"] != ""]
    said = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert stories.value_counts().between(4, 15).all() and sample["title"].is_unique
    for figure in len(sample), stories.nunique(), len(stories), len(sample) - len(stories):
        assert str(figure) in said
