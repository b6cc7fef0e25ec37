"""The optional native core; everything else stands in pyproject.toml.

`optional`: without a C compiler, or with one that does not know the instructions,
installation goes on, and `protocols.native.reason()` says why there is no core.
No -march: functions ask for their instructions one by one, and the processor is
asked before any of them runs.
"""

from setuptools import Extension, setup

SOURCES = ("digits", "module", "operations", "striped", "upright")

setup(
    ext_modules=[
        Extension(
            "protocols.native._core",
            [f"protocols/native/{name}.c" for name in SOURCES],
            depends=["protocols/native/lanes.h", "protocols/native/ring.h"],
            extra_compile_args=["-O3", "-std=c11", "-g0"],
            optional=True,
        )
    ]
)
