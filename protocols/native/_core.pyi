# The C part; what numbers mean is said in `protocols.native`.

from typing import Any, Self, TypeAlias

from numpy.typing import NDArray

Buffer: TypeAlias = bytes | NDArray[Any]

class Ring:
    number_bytes: int  # of R: a whole number of digits
    element_bytes: int  # for all jobs that are done together
    together: int  # jobs
    def __new__(
        cls, n: Buffer, q: Buffer | None = ..., upright: bool = ..., /
    ) -> Self: ...
    def load(self, numbers: Buffer, out: Buffer, /) -> None: ...
    def read(
        self,
        records: Buffer,
        size: int,
        registers: Buffer,
        each: int,
        first: int,
        number: int,
        /,
    ) -> None: ...
    def run(self, registers: Buffer, code: Buffer, each: int, /) -> None: ...
    def write(
        self, registers: Buffer, each: int, which: int, factor: Buffer, size: int, /
    ) -> bytes: ...
    def comb_row(self, row: Buffer, window: int, constants: Buffer, /) -> None: ...
    def comb(
        self,
        table: Buffer,
        window: int,
        exponents: Buffer,
        exponent_bytes: int,
        plaintexts: Buffer | None,
        factors: Buffer | None,
        start: Buffer,
        size: int,
        /,
    ) -> bytes: ...
    def powers(
        self,
        ciphertexts: Buffer,
        size: int,
        windows_p: Buffer,
        windows_q: Buffer,
        constants: Buffer,
        /,
    ) -> bytes: ...

INTERFACE: int

def supported() -> bool: ...
