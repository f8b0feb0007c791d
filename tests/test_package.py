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
    "attention", "reformer", "hashing", "tables", "schedule", "nn", "search", "io", "errors", "testing"))]


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


def test_arrows_point_down():
    """What a room imports lies on the same floor or below; kernels and the bucket store know nothing of each other."""
    allowed = {
        "errors": set(), "io": set(), "kernels": set(), "_ext": set(), "data": {"kernels", "errors", "io"},
        "metrics": {"data", "errors"}, "hashing": {"kernels", "errors"}, "schedule": {"hashing", "kernels", "_ext", "errors"},
        "testing": set(), "tables": {"hashing", "kernels", "_ext", "errors"},
        "search": {"tables", "schedule", "hashing", "kernels", "errors", "io"},
        "attention": {"schedule", "hashing", "kernels", "errors"},
        "reformer": {"attention", "nn", "schedule", "kernels", "errors", "io"},
        "nn": {"tables", "schedule", "hashing", "kernels", "errors", "io", "data", "metrics"},
    }
    for room, below in allowed.items():
        paths = sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mongoose_nb"):
                    parts = node.module.split(".")
                    names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
                    for name in names:
                        assert name in {room, "_version", *below}, f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
