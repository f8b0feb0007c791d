"""Names for everything that a user can choose or write: hash families, samplers, layers, schedules, metrics, ...

::

    class Sampler(Registered, kind="sampler")          an abstraction: one kind
    @register("sampler", "lsh")                        an implementation with a short name
    class LSH(Sampler): ...
    class Popularity(Sampler): ...                     a user's own: known as "their_module:Popularity"

    make("sampler", "lsh")                             a name, saved settings, or an object -> an object
    registered("sampler")                              name -> class: what the contract tests run on

A. *Every subclass of an abstraction is known*, by its import path; `register` gives it a short name besides. So a class of the user's
   own can be saved without any ritual, and a file never has to hold code: the program that loads it imports the class first.
B. *The arguments of the constructor are the description of an object*, stored under the same names, as scikit-learn does. Hence one
   `describe` and one `make` for all kinds, and one ``__repr__``.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

_CLASSES: dict[str, dict[str, type]] = {}  # kind -> {import path, short name or other name: class}
_SHORT: dict[type, str] = {}  # class -> its short name
_LATER: dict[str, dict[str, str]] = {}  # kind -> {short name: module that registers it, not imported yet}


class NotRegisteredError(ValueError):
    """Raised for a name that no registered class has."""


def _path(cls):
    return f"{cls.__module__}:{cls.__qualname__}"


def _add(kind, name, cls):
    known = _CLASSES.setdefault(kind, {})
    old = known.get(name)
    if old is not None and _path(old) != _path(cls):
        raise ValueError(f"{kind} {name!r} is registered already, by {_path(old)}; give {_path(cls)} another name")
    known[name] = cls  # a class that is defined again, as in a notebook, replaces its former self


class Registered:
    """Base of the abstractions: what has a name, is described by the arguments of its constructor, and can be saved.

    A subclass that names a `kind` is an abstraction. A subclass of that is an implementation, and is known by its import path from
    its definition on. The constructor stores its arguments as attributes of the same names.
    """

    #: what implementations of this abstraction are called, such as ``"sampler"``
    kind: str | None = None

    def __init_subclass__(cls, kind=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind
            _CLASSES.setdefault(kind, {})
        elif cls.kind is not None and not inspect.isabstract(cls):
            _add(cls.kind, _path(cls), cls)

    def config(self) -> dict[str, Any]:
        """Arguments of the constructor by name.

        A class whose constructor takes ``**kwargs`` overrides this method.

        Raises
        ------
        TypeError
            If they are not known: the constructor takes ``*args`` or ``**kwargs``, or does not store an argument.
        """
        cls = type(self)
        unnamed = [str(p) for p in _signature(cls) if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if unnamed:
            raise TypeError(f"the constructor of {cls.__qualname__} takes {unnamed[0]}; name its arguments, or override config()")
        missing = [name for name in parameters(cls) if not hasattr(self, name)]
        if missing:
            raise TypeError(f"{cls.__qualname__} does not keep its argument {missing[0]!r}; store it as self.{missing[0]} in the "
                            "constructor")
        return {name: getattr(self, name) for name in parameters(cls)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """An object from arguments by name, those of `config`.

        A class whose files of earlier versions hold what its constructor does not take overrides this method.
        """
        return cls(**config)

    def __repr__(self) -> str:
        try:
            known = self.config()
        except TypeError:  # not all arguments are kept
            known = {name: getattr(self, name) for name in parameters(type(self)) if hasattr(self, name)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in known.items())})"


def register(kind: str, name: str, *aliases: str) -> Callable[[type], type]:
    """Decorator: give an implementation of an abstraction a short name.

    Parameters
    ----------
    kind : str
        Of the abstraction, such as ``"sampler"``.
    name : str
    *aliases : str
        Other names that are understood.

    Raises
    ------
    ValueError, TypeError
        If another class has the name, if there is no such kind, or if the class does not derive from its abstraction.
    """
    wrong = [other for other in (name, *aliases) if not isinstance(other, str)]
    if wrong:
        raise TypeError(f"a name must be a string; got {wrong[0]!r}")

    def decorate(cls):
        if kind not in _CLASSES:
            raise ValueError(f"there is no kind {kind!r}; give one of {kinds()}")
        if getattr(cls, "kind", None) != kind:
            raise TypeError(f"{cls.__qualname__} is no {kind}: derive it from the base class of that kind")
        for other in (name, *aliases):
            _add(kind, other, cls)
        _SHORT[cls] = name
        return cls

    return decorate


def register_later(kind: str, name: str, module: str) -> None:
    """Have `module` imported, which registers an implementation, when its short name is first asked for.

    Parameters
    ----------
    kind : str
    name : str
    module : str
        Import path.
    """
    _LATER.setdefault(kind, {})[name] = module


def _import_later(kind, names=None):
    """Import the modules of names that are registered later, all by default."""
    later = _LATER.get(kind, {})
    for name in list(later) if names is None else names:
        if name in later:
            importlib.import_module(later[name])
            later.pop(name, None)


def _signature(cls):
    """Parameters of the constructor without ``self``; none where the class has no constructor."""
    init = cls.__init__
    return [] if init is object.__init__ else list(inspect.signature(init).parameters.values())[1:]


def parameters(cls: type) -> dict[str, Any]:
    """Names of the constructor's arguments, with their defaults (`inspect.Parameter.empty` where there is none)."""
    return {p.name: p.default for p in _signature(cls) if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def kinds() -> list[str]:
    """All kinds, sorted."""
    return sorted(_CLASSES)


def is_own(cls: type) -> bool:
    """Whether a class is one of the user's, not of this package: what it returns is checked, and files name its module."""
    return not cls.__module__.startswith(f"{__name__.split('.')[0]}.")


def name_of(cls: type) -> str:
    """The name of a class in files: the short one, or the import path of a class of the user's own, so that errors name its module."""
    return _path(cls) if is_own(cls) else _SHORT.get(cls) or _path(cls)


def registered(kind: str, package: str = "") -> dict[str, type[Any]]:
    """The implementations that have a short name.

    Parameters
    ----------
    kind : str
    package : str
        Only classes that this package defines.

    Returns
    -------
    dict of str to class
        Sorted by name.
    """
    _import_later(kind)
    return {name: cls for name, cls in sorted(_CLASSES.get(kind, {}).items())
            if _SHORT.get(cls) == name and cls.__module__.startswith(package)}


def find(kind: str, name: Any) -> type[Any]:
    """The class of a name.

    Raises
    ------
    NotRegisteredError
        If there is none; the message lists what there is, or says which module to import.
    """
    if isinstance(name, str):
        _import_later(kind, [name])
    cls = _CLASSES.get(kind, {}).get(name) if isinstance(name, str) else None
    if cls is None:
        if isinstance(name, str) and ":" in name.strip(":"):
            module, _, qualname = name.partition(":")
            if module == "__main__":
                raise NotRegisteredError(f"{kind} {qualname!r} was defined in the script that saved it: move the class to a module that "
                                         "both programs import, and save again")
            raise NotRegisteredError(f"{kind} {name!r} is not known in this program: import the module {module!r}, which defines "
                                     f"{qualname!r}, before loading")
        raise NotRegisteredError(f"{kind} {name!r} is unknown; give one of {sorted(registered(kind))}, or an object")
    return cls


def make(kind: str, value: Any, **defaults: Any) -> Any:
    """An object of a kind from its name, its description, or itself.

    Parameters
    ----------
    kind : str
    value : str, dict or Registered
        A dict has ``"name"`` and arguments of the constructor.
    **defaults
        Arguments for an object that is given by name.

    Raises
    ------
    NotRegisteredError, TypeError
        Neither of these.
    """
    if isinstance(value, Registered) and value.kind == kind:
        return value
    described = {"name": value} if isinstance(value, str) else value
    if isinstance(described, dict) and "name" in described:
        cls = find(kind, described["name"])
        return cls.from_config(defaults | {name: rebuild(argument) for name, argument in described.items() if name not in ("name", "kind")})
    raise TypeError(f"the {kind} must be one of {sorted(registered(kind))} or a {kind} object; got {value!r}")


def fresh(obj: Any) -> Any:
    """An object of the same class and arguments, without the state of `obj`."""
    try:
        config = obj.config()
    except TypeError:  # its arguments are not known: it can be used, and saving it is refused
        return copy.deepcopy(obj)
    return type(obj).from_config(config)


def rebuild(value: Any) -> Any:
    """What `describe` described in a list or nested in an object, as a constructor takes it: descriptions are made objects."""
    if isinstance(value, dict) and value.get("kind") == "array":
        return np.array(value["values"], value["dtype"])
    if isinstance(value, dict) and "kind" in value and "name" in value:
        return make(value["kind"], value)
    if isinstance(value, list):
        return [rebuild(item) for item in value]
    return value


def describe(value: Any, where: str = "object") -> Any:
    """What JSON can hold of an object: its name and its constructor's arguments, nested ones too.

    Parameters
    ----------
    value : Registered, or a number, string, None, or a list, tuple or small array of these
    where : str
        What an error calls it, such as ``"sampler"``.

    Returns
    -------
    dict, list or scalar
        For `make`. Nested objects have their ``"kind"`` besides.

    Raises
    ------
    TypeError
        For what a file cannot hold; the message names it and says what to do.
    """
    if isinstance(value, Registered):
        try:
            config = value.config()
        except TypeError as error:
            raise TypeError(f"{where} cannot be saved: {error}") from None
        out = {"name": name_of(type(value)), **{name: _nested(argument, f"{where}.{name}") for name, argument in config.items()}}
        if is_own(type(value)):
            _check_round_trip(value, out, where)
        return out
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biufU":
        return {"kind": "array", "dtype": value.dtype.str, "values": value.tolist()}
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biufU":
        return value.item()
    if isinstance(value, list | tuple):
        return [_nested(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):  # a description that the user gave
        return {key: describe(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise TypeError(f"{where} is {value!r} ({type(value).__module__}.{type(value).__qualname__}), which a file cannot hold; derive its "
                    "class from one of this package's abstractions, or give numbers, strings, lists, arrays, or dicts with string keys")


def _check_round_trip(obj, described, where):
    """Refuse a description that makes another object."""
    again = make(obj.kind, described).config()
    for name, value in again.items():
        if _nested(value, f"{where}.{name}") != described[name]:
            raise TypeError(f"{where} cannot be saved: {type(obj).__qualname__} does not keep its argument {name!r} as it was given "
                            f"({described[name]!r} becomes {value!r}); store it unchanged as self.{name}")


def _nested(value, where):
    """As `describe`; of an object also its kind, for `_rebuild`."""
    described = describe(value, where)
    return {**described, "kind": value.kind} if isinstance(value, Registered) else described
