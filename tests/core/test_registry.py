"""Names, descriptions and making of registered objects."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from mongoose_nb.core.registry import (
    NotRegisteredError,
    Registered,
    describe,
    find,
    fresh,
    kinds,
    make,
    name_of,
    register,
    registered,
)
from mongoose_nb.rehash import FixedPeriod


class Shape(Registered, kind="shape of the tests"):
    """An abstraction."""


@register("shape of the tests", "circle", "Circle", "disc")
class Circle(Shape):
    def __init__(self, radius=1.0):
        self.radius = radius


@register("shape of the tests", "pair")
class Pair(Shape):
    def __init__(self, first, second=None, weights=()):
        self.first, self.second, self.weights = first, second, weights


class Square(Shape):
    """Without a short name."""

    def __init__(self, side):
        self.side = side


class Forgetful(Shape):
    """Does not keep its argument."""

    def __init__(self, side):
        self.area = side**2


class Open(Shape):
    """Takes arguments that have no names."""

    def __init__(self, side, **options):
        self.side, self.options = side, options


class Listed(Shape):
    """Takes arguments that have no names, and says which."""

    def __init__(self, *sides):
        self.sides = sides

    def config(self):
        """Nothing that a constructor could take by name."""
        return {}


def test_constructors_with_unnamed_arguments_can_be_used_but_not_saved():
    shape = Open(2, colour="red")
    assert repr(shape) == "Open(side=2)" and fresh(shape).options == {"colour": "red"} and fresh(shape) is not shape
    with pytest.raises(TypeError, match=r"network.shape cannot be saved: the constructor of Open takes \*\*options; name its arguments"):
        describe(shape, "network.shape")
    assert describe(Listed(1, 2))["name"].endswith(":Listed")


def test_what_is_there():
    assert "shape of the tests" in kinds()
    assert registered("shape of the tests") == {"circle": Circle, "pair": Pair}
    for name in ("circle", "Circle", "disc", f"{__name__}:Circle"):
        assert find("shape of the tests", name) is Circle
    assert name_of(Circle) == f"{__name__}:Circle"
    assert name_of(Square) == f"{__name__}:Square" and find("shape of the tests", name_of(Square)) is Square


def test_making():
    assert make("shape of the tests", "circle").radius == 1.0
    assert make("shape of the tests", "circle", radius=2).radius == 2
    assert make("shape of the tests", {"name": "circle", "radius": 3}).radius == 3
    own = Square(1)
    assert make("shape of the tests", own) is own


@pytest.mark.parametrize("shape", [Circle(2.5), Square(3), Pair(Circle(1), [Square(2), None, "word"], (1, 2.5, True)),
                                   Pair(np.float32(1.5), np.arange(3)), Pair(None, {"name": "circle"})], ids=repr)
def test_a_description_makes_an_equal_one(shape):
    described = json.loads(json.dumps(describe(shape)))
    again = make("shape of the tests", described)
    assert type(again) is type(shape) and describe(again) == describe(shape) and repr(again).split("(")[0] == type(shape).__name__


def test_a_fresh_one_has_the_same_arguments_and_no_state():
    shape = Circle(4)
    shape.drawn = True
    again = fresh(shape)
    assert again is not shape and again.radius == 4 and not hasattr(again, "drawn")
    assert fresh(Forgetful(3)).area == 9


def test_a_class_that_is_defined_again_replaces_itself_and_another_is_refused():
    def define(name):
        class Star(Shape):
            pass

        return register("shape of the tests", name)(Star)

    first, second = define("star of the tests"), define("star of the tests")
    assert first is not second and find("shape of the tests", "star of the tests") is second
    for name in ("circle", "disc"):
        with pytest.raises(ValueError, match=f"'{name}' is registered already, by .*Circle; give .*another name"):
            register("shape of the tests", name)(Square)


def test_classes_of_the_package_are_named_shortly_and_others_by_their_module():
    assert name_of(FixedPeriod) == "fixed period" and describe(Circle(2)) == {"name": f"{__name__}:Circle", "radius": 2}


@pytest.mark.parametrize("arguments, error, message", [
    (("shpae", "square"), ValueError, "there is no kind 'shpae'; give one of"),
    (("rehash schedule", "square"), TypeError, "Square is no rehash schedule: derive it from the base class"),
    (("shape of the tests", 3), TypeError, "a name must be a string; got 3"),
])
def test_what_cannot_be_registered(arguments, error, message):
    with pytest.raises(error, match=message):
        register(*arguments)(Square)


@pytest.mark.parametrize("call, error, message", [
    (lambda: make("shape of the tests", "oval"), NotRegisteredError, r"tests 'oval' is unknown; give one of \['circle', 'pair'"),
    (lambda: make("shape of the tests", {"name": "their_module:Oval"}), NotRegisteredError, "import the module 'their_module'.*'Oval'"),
    (lambda: make("shape of the tests", 3), TypeError, "must be one of .*got 3"),
    (lambda: describe(Pair(lambda: 0), "network.shape"), TypeError, r"network\.shape\.first is <function.*which a file cannot hold"),
    (lambda: describe(Pair([Circle(), object()])), TypeError, r"object\.first\[1\] is <object"),
    (lambda: describe(Forgetful(2), "shape"), TypeError, "Forgetful does not keep its argument 'side'; store it as self.side"),
])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_users_class_in_another_process(tmp_path):
    """A file names the class; the program that reads it has to import it first."""
    (tmp_path / "their_shapes.py").write_text(textwrap.dedent("""
        from mongoose_nb.rehash import Schedule

        class Never(Schedule):
            def __init__(self, reason="none"):
                self.reason = reason
            def due(self, step):
                return False
    """))
    code = ("from mongoose_nb.core.registry import make; import {}; "
            "print(make('rehash schedule', {{'name': 'their_shapes:Never', 'reason': 'x'}}))")

    def run(module):
        return subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import mongoose_nb.rehash\n"
                               + code.format(module)], capture_output=True, text=True)

    assert run("their_shapes").stdout.strip() == "Never(reason='x')"
    assert "import the module 'their_shapes', which defines 'Never', before loading" in run("json").stderr
