"""Build step of the Cython extensions: wanted everywhere, required only where a wheel is made.

Where no C compiler works the install goes on and the pure-Python twins serve. Set ``MONGOOSE_NB_REQUIRE_EXT=1`` to make a
failed compilation fail the install instead.
"""

import os

from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """``build_ext`` whose extensions may fail to compile unless the environment asks for them."""

    def finalize_options(self):
        super().finalize_options()
        required = os.environ.get("MONGOOSE_NB_REQUIRE_EXT", "0") not in ("", "0")
        for extension in self.extensions or []:
            extension.optional = not required
