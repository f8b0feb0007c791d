"""The state of a hash family: plain values and arrays, from which it is made again in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.registry import find, name_of, parameters, registered
from mongoose_nb.hashing.arguments import as_count

# Hashes of a table, and of all tables together, that a state may ask for.
_MOST_PER_TABLE, _MOST_HASHES = 4096, 1 << 24
_FORMAT = 1
# Arguments of every family's constructor.
_COMMON = ("dim", "K", "L", "seed", "center")


class SavedFamily:
    """What a hash family saves and is made from again. A part of `HashFamily`, which has the attributes."""

    arrays: tuple[str, ...]
    dim: Any
    K: Any
    L: Any
    seed: Any
    version: Any
    _generation: int
    _center: np.ndarray | None

    def _own_arguments(self):
        """Arguments of the constructor beyond those of all families, as far as they are not None."""
        return {name: value for name, value in self.config().items() if name not in _COMMON and value is not None}

    def state(self) -> dict[str, Any]:
        """Everything that makes this family, as a dict of plain scalars, strings and arrays.

        Returns
        -------
        dict
            To be given to `from_state`, here or in another process. The key ``"center"`` is absent where there is no
            centre.
        """
        if not self.arrays:
            raise TypeError(f"{type(self).__qualname__} cannot be saved: name the attributes that hold its functions in `arrays`")
        state = {
            "family": name_of(type(self)), "format": _FORMAT, "dim": self.dim, "K": self.K, "L": self.L,
            "seed": self.seed, "generation": self._generation, "version": self.version, **self._own_arguments(),
            **{name.lstrip("_"): np.array(getattr(self, name)) for name in self.arrays},
        }
        if self._center is not None:
            state["center"] = self._center.copy()
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Build a family from the dict that `state` gave.

        ``HashFamily.from_state`` takes the state of any family; a subclass only its own. The functions themselves are
        part of the state, so codes stored elsewhere stay valid.

        Parameters
        ----------
        state : mapping
            Values may be zero-dimensional arrays, as ``numpy.load`` returns them.

        Raises
        ------
        ValueError
            If the state is of another family or format, or incomplete.
        """
        state = {key: value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value
                 for key, value in dict(state).items()}
        family: Any = find("hash family", str(state.get("family")))
        if not issubclass(family, cls):
            allowed = [name for name, known in registered("hash family").items() if issubclass(known, cls)]
            raise ValueError(
                f"the state is of hash family {state.get('family')!r}; {cls.__name__}.from_state reads {allowed}")
        if state.get("format") != _FORMAT:
            raise ValueError(f"the state has format {state.get('format')!r}; this version reads {_FORMAT}")
        self = family.__new__(family)
        try:
            self.__setstate__(state)
        except KeyError as missing:
            raise ValueError(f"the state of {family.__name__} lacks {missing}") from None
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.state()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        dim, K, L = (as_count(state[name], name) for name in ("dim", "K", "L"))
        if K > _MOST_PER_TABLE or K * L > _MOST_HASHES or dim >= 1 << 31:  # states come from files too
            raise ValueError(f"the state has K={K}, L={L}, dim={dim}, which is beyond what a family may have")
        own = {name: state[name] for name, default in parameters(type(self)).items()
               if name not in _COMMON and (name in state or default is not None)}
        center = {"center": state["center"]} if state.get("center") is not None else {}
        self._saved = state
        self.__init__(dim, K, L, seed=state["seed"], **own, **center)

    def _take_arrays(self, state):
        """Set the functions from a state instead of drawing them."""
        for name in self.arrays:
            value = state[name.lstrip("_")]
            setattr(self, name, read_only(np.array(value)) if isinstance(value, np.ndarray) else value)
        self._check_arrays()
