"""House rules that can be run: what an import loads, what is public, what is documented, who prints."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import mongoose_nb

ROOT = pathlib.Path(mongoose_nb.__file__).parent
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "mongoose_nb.") if not m.name.endswith("__main__"))
FACADES = ["mongoose_nb", *(f"mongoose_nb.{name}" for name in (
    "attention", "core", "core.files", "core.validation", "hashing", "nn", "reformer", "rehash", "search", "tables", "testing"))]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("module", FACADES)
def test_an_import_loads_neither_numba_nor_scipy(module):
    done = run(f"import sys, {module}; print([m for m in ('numba', 'llvmlite', 'scipy', 'tqdm', 'sklearn') if m in sys.modules])")
    assert done.stderr == "" and done.stdout.strip() == "[]"


def test_public_names_are_there():
    assert mongoose_nb.__all__[0] == "__version__" and len(set(mongoose_nb.__all__)) == len(mongoose_nb.__all__)
    for name in mongoose_nb.__all__:
        assert getattr(mongoose_nb, name) is not None
    assert dir(mongoose_nb) == sorted(mongoose_nb.__all__)
    with pytest.raises(AttributeError, match="module 'mongoose_nb' has no attribute 'nothing'"):
        getattr(mongoose_nb, "nothing")  # noqa: B009


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    """A docstring for the module and for every public function, class and method of its own, or of its ``__all__``."""
    if name.endswith(("_buckets", "_sketch")) and importlib.util.find_spec(name) is None:
        pytest.skip("not compiled")
    module = importlib.import_module(name)
    path = pathlib.Path(module.__file__)
    if path.suffix != ".py":
        return
    assert module.__doc__, "the module has no docstring"
    public = getattr(module, "__all__", None)
    if public is not None:
        assert len(set(public)) == len(public)
        missing = [n for n in public if not hasattr(module, n)]
        assert not missing, f"__all__ names what is not there: {missing}"
    without = []
    for key, value in vars(module).items():
        own = getattr(value, "__module__", None) == name
        listed = public is not None and key in public
        if not (listed or (own and not key.startswith("_"))) or not (inspect.isclass(value) or inspect.isroutine(value)
                                                                    or hasattr(value, "py_func")):
            continue
        if getattr(value, "__name__", key) == key and not inspect.getdoc(getattr(value, "py_func", value)):
            without.append(key)
        if inspect.isclass(value) and own:
            without += [f"{key}.{n}" for n, method in vars(value).items() if not n.startswith("_") and not inspect.getdoc(method)
                        and (inspect.isroutine(method) or isinstance(method, property | classmethod | staticmethod))
                        and not any(inspect.getdoc(getattr(base, n, None)) for base in value.__mro__[1:])]
    assert not without, f"without a docstring: {without}"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_library_code_does_not_print(path):
    if path.name in ("cli.py", "__main__.py") or "commands" in path.relative_to(ROOT).parts:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


BELOW = {
    "core": set(), "kernels": {"core"}, "_ext": {"core", "kernels"}, "data": {"core", "kernels"}, "metrics": {"core", "data"},
    "hashing": {"core", "kernels"}, "rehash": {"core", "kernels", "hashing", "_ext"}, "tables": {"core", "kernels", "hashing", "_ext"},
    "search": {"core", "kernels", "hashing", "tables"}, "attention": {"core", "kernels", "hashing", "rehash"},
    "nn": {"core", "kernels", "data", "metrics", "hashing", "rehash", "tables"},
    "reformer": {"core", "kernels", "attention", "nn", "rehash"}, "sklearn": {"core", "data", "nn", "search"},
    "testing": {"core", "hashing", "nn"},
}


def imported(path):
    """(line, module) of everything of this package that a file imports, also inside functions; with the name where that is a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mongoose_nb":
            for alias in node.names:
                whole = ROOT.joinpath(*node.module.split(".")[1:], alias.name)
                module = whole.is_dir() or whole.with_suffix(".py").exists()
                yield node.lineno, f"{node.module}.{alias.name}" if module else node.module


def test_every_package_has_its_place():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {*BELOW, "commands"}


@pytest.mark.parametrize("room", BELOW)
def test_arrows_point_down(room):
    """A package imports only those below it."""
    for path in sorted((ROOT / room).rglob("*.py")):
        for line, module in imported(path):
            parts = module.split(".")
            if len(parts) > 1 and parts[1] not in ("_version",):
                assert parts[1] in {room, *BELOW[room]}, f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_no_cycles_between_files():
    """Whatever a file imports, also inside functions, does not import it in turn."""
    graph = {}
    for path in ROOT.rglob("*.py"):
        if path.name != "__init__.py":
            name = "mongoose_nb." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
            graph[name] = {module for _, module in imported(path)}
    state = {}

    def visit(name, trail):
        if state.get(name) == "done" or name not in graph:
            return
        assert name not in trail, " -> ".join([*trail[trail.index(name):], name])
        for other in sorted(graph[name]):
            visit(other, [*trail, name])
        state[name] = "done"

    for name in sorted(graph):
        visit(name, [])
