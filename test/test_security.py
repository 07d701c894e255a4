"""What the package must not do, found in its source: unpickle, run strings, start a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    [*(ROOT / "t2g_ros").rglob("*.py"), *(ROOT / "launch").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
)
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "yaml.load"}
CALLS |= {"yaml.unsafe_load", "yaml.full_load", "yaml.load_all"}


def offences(tree: ast.AST) -> Iterator[str]:
    """What a module does that it must not, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in PICKLES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if (
                called in CALLS
                or (called == "torch.load" and given.get("weights_only") != "True")
                or (called in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False")
                or given.get("shell", "False") != "False"
            ):
                yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_evaluates_or_starts_a_shell(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "os.system('ls')",
    ],
)
def test_what_is_looked_for_is_found(code: str) -> None:
    assert len(list(offences(ast.parse(code)))) == 1
