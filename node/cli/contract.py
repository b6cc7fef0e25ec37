"""Contracts: check, plan, submit, activate, retire, contracts."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts import bank_model, kinds
from contracts.attributes import PublicAttributes
from contracts.contract import custodians
from contracts.dataset import Dataset
from contracts.errors import DocumentInvalid
from contracts.plan import Plan
from contracts.schema import SCHEMAS
from contracts.source import Document, shown, suggest
from node.author import Author
from node.cli.shell import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    load,
    show,
    table,
)
from node.config import load as load_config
from node.domain import Role
from node.errors import NotFound
from node.keys import BankKeys, CustodianKeys

Documents = Annotated[
    list[Path], typer.Argument(help="YAML files, or folders of them.")
]
Data = Annotated[
    Path, typer.Option("--datasets", help="Folder of the dataset documents.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    for command in (check, plan, schema, submit, activate, retire, contracts):
        app.command()(command)


def check(files: Documents, as_json: AsJson = False) -> None:
    """Say what is wrong with documents; try contracts out.

    A contract is compiled against the datasets given with it; its examples must
    come out, and no rule may be broken that nobody waived.

    Example: safehouse check datasets/ contract.yaml
    """
    paths = [path for file in files for path in _yaml_files(file)]
    found: dict[str, str] = {}
    datasets: dict[str, Dataset] = {}
    contracts: list[kinds.Written] = []
    for path in paths:
        text = path.read_bytes()
        found[str(path)] = kind = Document.parse(text, str(path)).kind
        if kind == "Dataset":
            dataset = Dataset.from_yaml(text, str(path))
            datasets[dataset.name] = dataset
        elif kind in kinds.WRITTEN:
            contracts.append(kinds.read(text, str(path)))
        elif kind == "PublicAttributes":
            PublicAttributes.from_yaml(text, str(path))
        elif kind == bank_model.KIND:
            bank_model.BankModel.from_yaml(text, str(path))
        else:
            words = ("Dataset", *kinds.WRITTEN, "PublicAttributes", bank_model.KIND)
            expected = " or ".join(f"`{word}`" for word in words)
            raise DocumentInvalid(
                f"{path}: a `{kind}` is not checked here", f"expected {expected}"
            )
    if contracts and not datasets:
        raise DocumentInvalid(
            "a contract is checked with its datasets",
            "name them as well: `safehouse check datasets/ contract.yaml`",
        )
    for contract in contracts:
        contract.admit(datasets)
    document = {"documents": [{"path": p, "kind": k} for p, k in found.items()]}

    def text_(to: Console) -> None:
        for path, kind in found.items():
            to.print(f"{path}: {kind}, no fault found")

    show(document, as_json=as_json, text=text_)


def plan(
    file: Annotated[Path, typer.Argument(help="A contract's YAML file.")],
    datasets: Data,
    key_bits: Annotated[int, typer.Option(help="Length of the Paillier key.")] = 3072,
    as_json: AsJson = False,
) -> None:
    """Show what a contract touches, tells and costs.

    Example: safehouse plan contract.yaml --datasets datasets/
    """
    known = {}
    for path in _yaml_files(datasets):
        dataset = Dataset.from_yaml(path.read_bytes(), str(path))
        known[dataset.name] = dataset
    compiled = kinds.read(file.read_bytes(), str(file)).compile(known)
    planned = kinds.plan(compiled, known, key_bits=key_bits)
    show(
        plan_document(planned), as_json=as_json, text=lambda to: print_plan(planned, to)
    )


def schema(
    kind: Annotated[str, typer.Argument(help="Kind of the document.")],
) -> None:
    """Print the JSON Schema of a kind of document, for editors.

    An editor that knows it completes members and underlines what `safehouse check`
    would refuse.

    Example: safehouse schema Dataset
    """
    make = SCHEMAS.get(kind)
    if make is None:
        raise NotFound(
            f"no kind of document `{shown(kind)}`", suggest(kind, [*SCHEMAS])
        )
    document = make()
    show(document, as_json=True, text=lambda _: None)


def submit(
    file: Annotated[Path, typer.Argument(help="A contract's YAML file.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Submit a contract to house and authority, signed by its author.

    Example: safehouse submit contract.yaml --config jnrcb/safehouse.toml
    """
    with _author(config) as author:
        compiled = author.submit(file.read_text("utf-8"), str(file))
    approvers = custodians(compiled.datasets)
    document = {
        "contract": compiled.hash.hex(),
        "id": compiled.id,
        "version": compiled.version,
        "custodians": list(approvers),
    }

    def text(to: Console) -> None:
        to.print(f"submitted {compiled.id} version {compiled.version}")
        to.print(f"hash {compiled.hash.hex()}")
        to.print(f"to be approved by {', '.join(approvers)}")

    show(document, as_json=as_json, text=text)


def activate(
    name: Annotated[str, typer.Argument(help="Id of the contract.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put a contract in force that every custodian has approved.

    Example: safehouse activate german-card --config jnrcb/safehouse.toml
    """
    with _author(config) as author:
        compiled, _, _ = author.find(name)
        author.activate(compiled.hash)
    document = {"contract": compiled.hash.hex(), "stage": "active"}
    show(document, as_json=as_json, text=lambda to: to.print(f"{name} is in force"))


def retire(
    name: Annotated[str, typer.Argument(help="Id of the contract.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Take a contract out of force, for ever.

    Example: safehouse retire german-card --config jnrcb/safehouse.toml
    """
    with _author(config) as author:
        compiled, _, _ = author.find(name)
        author.retire(compiled.hash)
    document = {"contract": compiled.hash.hex(), "stage": "retired"}
    show(document, as_json=as_json, text=lambda to: to.print(f"{name} is retired"))


def contracts(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the contracts that the house knows.

    Example: safehouse contracts --config jnrcb/safehouse.toml
    """
    with _author(config) as author:
        listed = author.list()
    document = {
        "contracts": [
            {
                "contract": item.contract.hex(),
                "id": item.id,
                "version": item.version,
                "stage": item.stage,
            }
            for item in listed
        ]
    }
    rows = (
        (item.id, str(item.version), item.stage, item.contract.hex()[:16])
        for item in listed
    )
    headers = ("contract", "version", "stage", "hash")
    show(document, as_json=as_json, text=lambda to: to.print(table(headers, rows)))


def plan_document(planned: Plan) -> Mapping[str, object]:
    """Write a plan for machines."""
    compiled = planned.contract
    return {
        "contract": compiled.hash.hex(),
        "kind": compiled.kind.value,
        "id": compiled.id,
        "version": compiled.version,
        "purpose": compiled.purpose,
        "banks": list(compiled.banks),
        "datasets": [
            {
                "id": item.id,
                "custodian": item.custodian,
                "tier": item.tier.value,
                "columns": item.columns,
                "zero_weight": item.zero_weight,
            }
            for item in planned.datasets
        ],
        "consent": planned.consent.value,
        "missing_approvals": list(planned.missing_approvals),
        "millibits": compiled.millibits,
        "calls_per_90_days": planned.calls_per_90_days,
        "rules": [
            {
                "rule": str(finding.rule),
                "ok": finding.ok,
                "figure": finding.figure,
                "limit": finding.limit,
                "waived_by": finding.waived_by,
            }
            for finding in planned.rules
        ],
        **dict(member for line in planned.lines for member in line.members),
    }


def print_plan(planned: Plan, to: Console) -> None:
    """Write a plan for people."""
    compiled = planned.contract
    to.print(
        f"contract {compiled.id} version {compiled.version}, for {compiled.purpose}"
    )
    to.print(f"hash     {compiled.hash.hex()}")
    to.print(f"banks    {', '.join(compiled.banks)}; a call needs {planned.consent}")
    rows = (
        (item.id, item.custodian, item.category, item.tier.value, str(item.columns))
        for item in planned.datasets
    )
    to.print(table(("dataset", "custodian", "category", "tier", "columns"), rows))
    to.print(
        f"columns  {planned.columns}, of which {planned.zero_weight} weigh nothing"
    )
    for line in planned.lines:
        to.print(f"{line.word:8} {line.text}")
    missing = ", ".join(planned.missing_approvals) or "none"
    to.print(f"approvals missing: {missing}")
    for finding in planned.rules:
        word = "kept" if finding.ok else "BROKEN"
        if not finding.ok and finding.waived_by:
            word = f"waived by {finding.waived_by}"
        to.print(f"  {finding.rule}: {finding.figure} ({finding.limit}): {word}")


def _author(path: Path) -> Author:
    if load_config(path).role is Role.CUSTODIAN:
        return Author(*load(path, CustodianKeys, Role.CUSTODIAN))
    return Author(*load(path, BankKeys, Role.BANK, Role.CUSTODIAN))


def _yaml_files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(path.glob("*.yaml"))
    return [path]
