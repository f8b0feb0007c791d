"""What a feature needs of a hash family, and which registered families have it."""

from typing import Any

from mongoose_nb.core.registry import name_of, registered


def require(family: Any, capability: str | tuple[str, str], what: str) -> None:
    """Refuse a family that lacks what a feature needs.

    Parameters
    ----------
    family : HashFamily, or a class of them
    capability : {"trainable", "closed_form", "multi_probe", "takes_center"} or ("similarity", value or tuple of values)
    what : str
        The feature, for the message: ``"learn='contrast'"``.

    Raises
    ------
    ValueError
        The message lists the registered families that have it.
    """
    def has(cls):
        if isinstance(capability, tuple):
            name, wanted = capability
            return getattr(cls, name) in (wanted if isinstance(wanted, tuple) else (wanted,))
        value = getattr(cls, capability)
        return value() if callable(value) else value

    cls = family if isinstance(family, type) else type(family)
    if not has(cls):
        able = [name for name, known in registered("hash family").items() if has(known)]
        needed = f"{capability[0]} {capability[1]!r}" if isinstance(capability, tuple) else capability.replace("_", " ")
        raise ValueError(f"{what} needs a hash family with {needed}; got {name_of(cls)!r}; use one of {able}")
