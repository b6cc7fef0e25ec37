"""One contract for a thousand people, twice: as a first version with phe, and ours.

The contract and the people are those of examples/german-credit, its weights and
outcomes compiled.  *phe*: each value of each person becomes a ciphertext; the score is
a weighted sum of them, so are the flags of each veto; whoever has the key decrypts both
and looks the outcome up **in the clear**, knowing the score.  *Ours*: blocks of people
share ciphertexts, the compiled program adds, a mask hides, the authority decrypts a
uniform number and the bank unpads one row (the split gate of jobs); nobody has seen a
score.  Columns that carry no weight are left out for phe, which would pay for them.

CPU seconds of one core, by stage; every outcome of both is compared with the one that
plain integers give.
"""

import csv
import secrets
import time
from pathlib import Path
from typing import Final

import numpy as np
import phe
from numpy.typing import NDArray

from contracts.compile import compile_contract
from contracts.compiled import Compiled
from contracts.dataset import Dataset
from contracts.scoring import ScoringContract
from protocols import blocks
from protocols.drbg import Drbg, block_seed
from protocols.lookup import authority_pick, bank_open, house_message
from protocols.paillier import FixedBase, ciphertext_from_bytes, generate
from protocols.program import Program
from protocols.slots import slots_per_block
from protocols.split import SplitGate

FOLDER: Final = Path(__file__).parents[1] / "examples/german-credit"
STAGES: Final = ("encrypt", "score", "decrypt", "open")

Values = NDArray[np.int64]  # (people, columns of the contract)


class Watch:
    """CPU seconds, by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._began = time.process_time()

    def stage(self, name: str) -> None:
        """Book what was spent since the last stage."""
        now = time.process_time()
        self.seconds[name] += now - self._began
        self._began = now

    def figures(self) -> dict[str, float]:
        """Round, with the sum of all."""
        told = {f"{name}_s": round(spent, 3) for name, spent in self.seconds.items()}
        return told | {"total_s": round(sum(self.seconds.values()), 3)}


def load(people: int) -> tuple[Compiled, Values]:
    """Compile the contract; encode its first people."""
    datasets: dict[str, Dataset] = {}
    for path in sorted((FOLDER / "datasets").glob("*.yaml")):
        dataset = Dataset.from_yaml(path.read_bytes(), str(path))
        datasets[dataset.name] = dataset
    source = (FOLDER / "contract.yaml").read_text()
    contract = ScoringContract.from_yaml(source, "contract.yaml")
    compiled = compile_contract(contract, datasets)
    rows: dict[str, list[dict[str, str]]] = {}
    for name in datasets:
        with (FOLDER / f"data/{name}.csv").open(encoding="utf-8") as file:
            rows[name] = list(csv.DictReader(file))[:people]
    values = np.zeros((people, len(compiled.columns)), np.int64)
    for name, dataset in datasets.items():
        of_dataset = [i for i, c in enumerate(compiled.columns) if c.dataset == name]
        places = [compiled.columns[i].index for i in of_dataset]
        for person, row in enumerate(rows[name]):
            values[person, of_dataset] = np.array(dataset.encode(row))[places]
    return compiled, values


def with_phe(
    compiled: Compiled, values: Values, bits: int
) -> tuple[dict[str, float], list[int]]:
    """Score as a first version would."""
    public, private = phe.generate_paillier_keypair(n_length=bits)
    card, watch = compiled.card, Watch()
    used = [i for i, weight in enumerate(card.weights) if weight]
    flags = {column for group in card.groups for column in group.members}
    codes = []
    for row in values.tolist():
        cells = {i: public.encrypt(row[i]) for i in {*used, *flags}}
        watch.stage("encrypt")
        total = cells[used[0]] * card.weights[used[0]]
        for i in used[1:]:
            total = total + cells[i] * card.weights[i]
        vetoes = []
        for group in card.groups:
            count = cells[group.members[0]] * group.sign
            for column in group.members[1:]:
                count = count + cells[column] * group.sign
            vetoes.append(count)
        watch.stage("score")
        score = private.decrypt(total) + card.shift
        raised = [
            private.decrypt(count) + group.constant
            for count, group in zip(vetoes, card.groups, strict=True)
        ]
        watch.stage("decrypt")
        codes.append(look_up(compiled, score, raised))
        watch.stage("open")
    return watch.figures(), codes


def look_up(compiled: Compiled, score: int, raised: list[int]) -> int:
    """Find the code of a score and the counts of raised flags, in the clear."""
    card = compiled.card
    for group in card.precedence:
        if raised[group]:
            return -2 - group
    return [code for start, code in card.steps if start <= score][-1]


def with_ours(
    compiled: Compiled, values: Values, bits: int
) -> tuple[dict[str, float], list[int]]:
    """Score as a job does, on one core."""
    key = generate(bits)
    public, slots = key.public, slots_per_block(bits)
    stored = FixedBase(public, public.stored_exponent_bits)
    long = FixedBase(public, public.authority_exponent_bits)
    program, gate = Program(compiled.card), SplitGate(compiled.card)
    drbg, seed = Drbg(secrets.token_bytes(32)), secrets.token_bytes(32)
    limits = [1 << 20] * len(compiled.columns)
    watch, codes = Watch(), list[int]()
    for number, first in enumerate(range(0, len(values), slots)):
        here = values[first : first + slots]
        packed = np.zeros((len(limits), slots), np.int64)
        packed[:, : len(here)] = here.T
        data = blocks.encrypt_block(stored, drbg, number, packed, limits)
        size = public.ciphertext_bytes
        columns = [
            ciphertext_from_bytes(data[i : i + size]) for i in range(0, len(data), size)
        ]
        watch.stage("encrypt")
        total = program.run(public, columns)
        occupied = tuple(range(len(here)))
        message, pads = house_message(
            gate, public, long, total, occupied, block_seed(seed, number, bytes(32))
        )
        watch.stage("score")
        picked = authority_pick(gate, key, message)
        watch.stage("decrypt")
        codes += bank_open(gate, picked.u, picked.rows, pads, occupied).tolist()
        watch.stage("open")
    return watch.figures(), codes


def compare_pipelines(people: int, bits: int) -> dict[str, object]:
    """Run both; raise where an outcome is not what plain integers give."""
    compiled, values = load(people)
    expected = [compiled.card.code_of(row) for row in values.tolist()]
    ours, found = with_ours(compiled, values, bits)
    if found != expected:
        raise AssertionError("ours differs from plain integers")
    theirs, found = with_phe(compiled, values, bits)
    if found != expected:
        raise AssertionError("phe's pipeline differs from plain integers")
    times = theirs["total_s"] / ours["total_s"]
    print(f"{people} people, {bits} bits: phe {theirs}, ours {ours}: {times:.0f} times")
    return {
        "subjects": people,
        "key_bits": bits,
        "phe": theirs,
        "ours": ours,
        "times": round(times, 1),
        "mismatches": 0,
    }
