"""The notebook's functions, to import, and no copy of them: `from notebook import read_table`.

Its imports, functions, classes and constants (names in capitals) are executed; nothing else is.
"""

import ast
import os
import sys
from pathlib import Path

import nbformat

sys.dont_write_bytecode = True  # the tests leave nothing in the working copy
ROOT = Path(__file__).resolve().parent.parent
PATH = Path(os.environ.get("NOTEBOOK_UNDER_TEST", ROOT / "hdbscan_clustering_with_milvus.ipynb"))
CELLS = nbformat.read(PATH, 4).cells
CODE = [cell for cell in CELLS if cell.cell_type == "code"]
EXECUTED = []  # code cells


def is_kept(statement):
    """True for imports, functions, classes, and constants, whose names are in capitals."""
    if isinstance(statement, ast.Assign):
        names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
        return bool(names) and all(name.isupper() for name in names)
    return isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))


def __getattr__(name):
    """Execute what is kept, as soon as the first of its names, or all, are asked for.

    It takes ten seconds, and the process that only hands out the tests does without."""
    if not EXECUTED and (name == "__all__" or not name.startswith("__")):
        for number, cell in enumerate(CODE, 1):
            if not cell.source.startswith("%"):
                kept = [each for each in ast.parse(cell.source).body if is_kept(each)]
                code = compile(ast.Module(kept, []), f"<code cell {number}>", "exec")
                exec(code, globals())  # noqa: S102
                EXECUTED.append(number)
        if name in globals():
            return globals()[name]
    raise AttributeError(f"the notebook has no {name}")
