"""Build step of the Cython extensions, which are optional.

Without a C compiler the installation succeeds, and the Python implementations are used. With ``MONGOOSE_NB_REQUIRE_EXT=1`` a
failed compilation fails the installation, as it should where a wheel is built.
"""

from __future__ import annotations

import os

from setuptools.command.build_ext import build_ext


class OptionalBuildExt(build_ext):
    """``build_ext`` whose extensions may fail to compile unless the environment asks for them."""

    def finalize_options(self) -> None:
        super().finalize_options()
        required = os.environ.get("MONGOOSE_NB_REQUIRE_EXT", "0") not in ("", "0")
        for extension in self.extensions or []:
            extension.optional = not required
