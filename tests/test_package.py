"""House rules that can be run: what an import loads, what is public, what is documented, who prints."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import mongoose_nb

ROOT = pathlib.Path(mongoose_nb.__file__).parent
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "mongoose_nb.") if not m.name.endswith("__main__"))
FACADES = ["mongoose_nb", *(f"mongoose_nb.{name}" for name in (
    "attention", "core", "core.files", "core.validation", "hashing", "nn", "reformer", "rehash", "search", "sketch", "tables", "testing"))]


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
    "structured": {"core"}, "compress": {"core", "kernels"},
    "nn": {"core", "kernels", "data", "metrics", "hashing", "rehash", "search", "structured", "tables", "compress"},
    "recommend": {"core", "kernels", "data", "metrics", "compress", "nn", "sklearn"},
    "reformer": {"core", "kernels", "attention", "nn", "rehash"}, "sklearn": {"core", "data", "nn", "search"},
    "testing": {"core", "hashing", "nn"}, "linear": {"core", "kernels", "sklearn"},
    "solar": {"core", "kernels", "data", "nn", "sklearn"},
    "distributed": {"core", "data", "hashing", "kernels", "nn", "search"},
    "sketch": {"core", "kernels", "hashing"},
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


# ------------------------------------------------------------------ documentation


def parameters(value):
    """Names of the arguments of a function or class, without those of ``*args`` and ``**kwargs``."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # written in C
        return []
    return [p.name for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


@pytest.mark.parametrize("name", MODULES)
def test_every_argument_is_documented(name):
    """Every public function and class has a section Parameters that names all arguments, as numpydoc has it."""
    if name.endswith(("_buckets", "_sketch")) and importlib.util.find_spec(name) is None:
        pytest.skip("not compiled")
    module = importlib.import_module(name)
    incomplete = []
    for key in getattr(module, "__all__", ()):
        value = getattr(module, key)
        value = getattr(value, "py_func", value)
        if not (inspect.isclass(value) or inspect.isroutine(value)) or not getattr(value, "__module__", "").startswith("mongoose_nb"):
            continue
        text = inspect.getdoc(value) or ""
        arguments = parameters(value)
        missing = [a for a in arguments if not re.search(rf"\b{re.escape(a)}\b", text)]
        if missing or (arguments and not re.search(r"^Parameters\n-+$", text, re.M) and not is_error(value)):
            incomplete.append((key, missing or "no section Parameters"))
    assert not incomplete


def is_error(value):
    return inspect.isclass(value) and issubclass(value, BaseException)


# Words of our own, and turns of phrase that a reader has to guess at; see "English" in CONTRIBUTING.md.
PRIVATE = [re.compile(pattern, re.I) for pattern in (
    r"\bfloor \d", r"\bbeg[ia]ns? anew\b", r"\bdrawn anew\b", r"\bwill not do\b", r"\bthis module is the door\b", r"\b(the|a|this) door\b",
    r"\bstands? in most of\b", r"\bKeptTables\b", r"\bfiller\b", r"\bnn\.split\b", r"\bschedule\.(Drift|ExponentialDecay|FixedPeriod)\b",
    r"\bmongoose_nb\.(schedule|estimators|targets|cli|io|errors)\b", r"\bsearch\.(neighbors|faiss_like|hnswlib_like|dedup)\b",
    r"\bat the ground\b", r"\blists? of (a|the) (sample|batch)\b")]
USER_PAGES = sorted({ROOT.parent / "README.md", *(ROOT.parent / "docs").glob("*.md"), *(ROOT.parent / "docs" / "guide").glob("*.md")})


def private_words(text):
    return [found.group() for pattern in PRIVATE for found in pattern.finditer(text)]


@pytest.mark.parametrize("path", [path for path in USER_PAGES if path.exists()], ids=lambda p: p.name)
def test_pages_use_the_words_of_the_field(path):
    assert not private_words(re.sub(r"<!-- begin.*?<!-- end", "", path.read_text(encoding="utf-8"), flags=re.S))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_docstrings_use_the_words_of_the_field(path):
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            found += [(getattr(node, "name", path.name), word) for word in private_words(ast.get_docstring(node) or "")]
    assert not found


ARCHITECTURE = ROOT.parent / "docs" / "development" / "architecture.md"
# | `NAME`, `OTHER` | `file.py` | value | what it decides |
CONSTANTS = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| `([\w/]+\.py)` \|", ARCHITECTURE.read_text(encoding="utf-8"), re.M) \
    if ARCHITECTURE.exists() else []


@pytest.mark.parametrize("names, file", CONSTANTS)
def test_constants_in_the_documentation_exist(names, file):
    """Every name is assigned in its file, or is an argument there."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    there = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    there |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert set(re.findall(r"\w+", names)) <= there


# ------------------------------------------------------------------ code

# Kernels are typed by Numba, from the arrays that they are given.
TYPED = [path for path in sorted(ROOT.rglob("*.py")) if not path.relative_to(ROOT).as_posix().startswith("kernels/")]
# Methods that Python calls, with arguments of its own.
UNTYPED_METHODS = {"__init_subclass__", "__getattr__", "__dir__", "__deepcopy__", "__reduce__", "__repr__"}


@pytest.mark.parametrize("path", TYPED, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_are_annotated(path):
    def without(body, prefix=""):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from without(node.body, f"{node.name}.")
            elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or prefix and node.name.startswith("__")):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                given = given[1:] if prefix and given and given[0].arg in ("self", "cls") else given
                if node.name not in UNTYPED_METHODS and (node.returns is None or any(a.annotation is None for a in given)):
                    yield f"{prefix}{node.name}"

    assert not list(without(ast.parse(path.read_text(encoding="utf-8")).body))


# Methods of named tuples, whose names begin with an underscore, and the parts of Numba and argparse that there is no other way to.
PUBLIC_BY_CUSTOM = {"_replace", "_asdict", "_fields", "_make"}
FOREIGN = {"core/jit.py": {"_cache", "_impl", "_cache_path", "_cache_file", "_final_module", "_finalize_final_module"},
           "commands/cli.py": {"_actions"}}


def is_call_of(node, *functions):
    return isinstance(node, ast.Call) and ast.unparse(node.func) in functions


def reaches(tree, allowed=frozenset()):
    """(line, expression) of every use of an underscore attribute of an object by code that is not its own.

    Its own code has it as ``self``, ``cls``, ``type(self)`` or ``super()``, or has just made it by ``cls(...)``, as alternative
    constructors do. The names of modules and of the file's own classes are no objects.
    """
    names = {alias.asname or alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
             for alias in node.names}
    names |= {"self", "cls", *(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))}
    made = {}  # function -> names of the objects that it makes
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            new = {target.id for node in ast.walk(function) if isinstance(node, ast.Assign) and is_call_of(node.value, "cls", "cls.__new__")
                   for target in node.targets if isinstance(target, ast.Name)}
            made.update((id(node), new) for node in ast.walk(function) if isinstance(node, ast.Attribute))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        owner = node.value
        own = isinstance(owner, ast.Name) and owner.id in names | made.get(id(node), set())
        own = own or is_call_of(owner, "super") or ast.unparse(owner) == "type(self)"
        if not own and node.attr not in PUBLIC_BY_CUSTOM | allowed:
            yield node.lineno, ast.unparse(node)


def test_what_reaches_into_another():
    own = ["self._x", "super()._x", "type(self)._x", "import os; os._exit", "class A: pass\nA._x", "def f(cls):\n a = cls(1)\n a._x = 2",
           "t._replace(a=1)"]
    others = ["other._x", "self.other._x", "def f(cls):\n a = g()\n a._x = 2", "f()._x", "a[0]._x"]
    assert [bool(list(reaches(ast.parse(code)))) for code in own + others] == [False] * len(own) + [True] * len(others)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_object_reaches_into_another(path):
    allowed = FOREIGN.get(path.relative_to(ROOT).as_posix(), frozenset())
    assert not list(reaches(ast.parse(path.read_text(encoding="utf-8")), allowed))
