"""Rows of figures by name: which are measured, and how they are put beside those that were kept."""


def wanted(systems, only):
    """The systems, by name, of which a name contains one of some texts; all without these."""
    return {name: system for name, system in systems.items() if not only or any(text in name for text in only)}


def merged(old, new):
    """Figures of which some rows were measured again; others stay."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{name: merged(old.get(name), value) for name, value in new.items()}}
