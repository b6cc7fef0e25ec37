"""JSON Schemas of the YAML documents, for editors that complete and underline.

`safehouse schema KIND` prints one (draft 2020-12); copies lie in `contracts/schemas`,
so that the first line of a document can name one for the YAML language server::

    # yaml-language-server: $schema=../../contracts/schemas/dataset.json

A schema knows members, words and shapes.  Whether columns exist, bands ascend and rules
are kept only `safehouse check` can say; but what a schema refuses, `check` refuses too,
and what `check` takes, the schema takes (tests/test_schema.py).

>>> sorted(SCHEMAS)
['BankModel', 'Dataset', 'PublicAttributes', 'QueryContract', 'ScoringContract']
>>> dataset = SCHEMAS["Dataset"]()
>>> dataset["properties"]["spec"]["properties"]["tier"]["enum"]
['T0', 'T1', 'T2', 'T3']
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from contracts.aggregate import Statistic
from contracts.contract import ContractKind
from contracts.dataset import Cycle, Tier
from contracts.scoring import POINTS, PURPOSES
from contracts.source import COLUMN, DECIMAL, MAX_TEXT, NAME, PARTY
from contracts.subject import SubjectType
from protocols.program import INSUFFICIENT_DATA
from protocols.psi import Mode

Schema: TypeAlias = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
API: Final = "safehouse/v1"


def _text(told: str = "") -> Schema:
    return _told({"type": "string", "minLength": 1, "maxLength": MAX_TEXT}, told)


def _told(schema: Schema, told: str) -> Schema:
    return schema | {"description": told} if told else schema


def _pattern(pattern: str, told: str = "") -> Schema:
    return _told({"type": "string", "pattern": f"^(?:{pattern})$"}, told)


def _name(told: str = "") -> Schema:
    return _pattern(NAME.pattern, told)


def _party(told: str = "") -> Schema:
    return _pattern(PARTY.pattern, told)


def _ref(told: str = "") -> Schema:
    return _pattern(rf"{NAME.pattern}\.{COLUMN.pattern}", told)


def _words(known: Sequence[str], told: str = "") -> Schema:
    return _told({"enum": list(known)}, told)


def _integer(least: int = 1, told: str = "") -> Schema:
    return _told({"type": "integer", "minimum": least}, told)


def _number(told: str = "") -> Schema:
    # An exact decimal may be quoted; YAML reads others as numbers.
    kinds = [{"type": "number"}, {"type": "string", "pattern": f"^{DECIMAL.pattern}$"}]
    return _told({"anyOf": kinds}, told)


def _cell() -> Schema:
    # `given: {tax.sites: 3}`: YAML reads what a person writes as text.
    return {"type": ["string", "number"]}


def _list(items: Schema, least: int = 1, told: str = "") -> Schema:
    return _told({"type": "array", "minItems": least, "items": items}, told)


def _object(
    required: dict[str, Schema], optional: dict[str, Schema] | None = None
) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": required | (optional or {}),
    }


def _map(values: Schema, keys: str = "", least: int = 0) -> Schema:
    named = {"propertyNames": {"pattern": keys}} if keys else {}
    return {
        "type": "object",
        "minProperties": least,
        "additionalProperties": values,
        **named,
    }


def _document(kind: str, metadata: Schema, spec: Schema) -> Schema:
    body = _object(
        {
            "apiVersion": {"const": API},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": spec,
        }
    )
    return {"$schema": DRAFT, "title": kind, **body}


def _metadata(*, version: bool) -> Schema:
    required = {"name": _name("lower case letters, digits, hyphens")}
    optional = {"title": _text("as people read it")}
    number = {"version": _integer(1, "a change is a new version")}
    if version:
        return _object(required | number, optional)
    return _object(required, optional | number)


# -- datasets ------------------------------------------------------------------


def _column() -> Schema:
    missing = {
        "anyOf": [
            {"const": "reject"},
            _object({"default": _text()}, {"texts": _list({"type": "string"})}),
            _object({"class": _text()}, {"texts": _list({"type": "string"})}),
        ]
    }
    flag = {
        "anyOf": [
            _object({}),
            _object({"one": _list(_text()), "zero": _list(_text())}),
            _object({"equals": _list(_text())}),
            _object({"at_least": _number()}),
        ]
    }
    encodings = {
        "integer": _object(
            {"min": _number(), "max": _number()},
            {"scale": _integer(1), "cap": {"type": "boolean"}},
        ),
        "flag": _told(flag, "0 or 1"),
        "category": _list(_text(), 2, "classes, one of them"),
        "bins": _list(_number(), 1, "edges, ascending"),
    }
    column = _object(
        {"name": _pattern(COLUMN.pattern, "lower case letters, digits, underscores")},
        {
            "from": _text("column of the custodian's table; the name by default"),
            "title": _text(),
            "missing": _told(missing, "what an empty cell is"),
            **encodings,
        },
    )
    return column | {"oneOf": [{"required": [name]} for name in encodings]}


def _dataset() -> Schema:
    spec = _object(
        {
            "custodian": _party("whose data it is 数据提供单位"),
            "unit": _text("责任单位"),
            "category": _text("信息类别"),
            "cycle": _words([word.value for word in Cycle], "共享周期"),
            "tier": _words([word.value for word in Tier]),
            "subject": _words([word.value for word in SubjectType]),
        },
        {"columns": _list(_column()), "list": _told({"const": True}, "名单")},
    ) | {"oneOf": [{"required": ["columns"]}, {"required": ["list"]}]}
    return _document("Dataset", _metadata(version=False), spec)


def _attributes() -> Schema:
    attribute = _object(
        {
            "name": _pattern(COLUMN.pattern),
            "classes": _list(_text()),
        },
        {"title": _text(), "from": _text(), "other": _text("class of small cells")},
    )
    spec = _object(
        {
            "custodian": _party(),
            "subject": _words([word.value for word in SubjectType]),
            "attributes": _list(attribute),
        }
    )
    metadata = _object({"name": _name()}, {"title": _text()})
    return _document("PublicAttributes", metadata, spec)


# -- contracts -----------------------------------------------------------------


def _common() -> dict[str, Schema]:
    return {
        "purpose": _words(list(PURPOSES)),
        "subject": _words([word.value for word in SubjectType]),
        "author": _party("who activates and retires it"),
        "banks": _list(_party(), 1, "who may call it"),
    }


def _waivers() -> Schema:
    waiver = _object({"rule": _text(), "reason": _text(), "signed_by": _party()})
    return _list(waiver, 0, "rules that a custodian answers for")


def _points(column: Schema) -> Schema:
    standardised = _object(
        {"weight": _number(), "mean": _number(), "deviation": _number()}
    )
    return _object(
        {"column": column},
        {
            "points": {"anyOf": [_number(), _map(_number(), least=1)]},
            "per_unit": _number("points for each unit of an integer"),
            "standardised": _told(standardised, "weight x (value - mean) / deviation"),
            "title": _text(),
        },
    ) | {"oneOf": [{"required": [word]} for word in POINTS]}


def _bank_model() -> Schema:
    spec = _object(
        {
            "contract": _name("id of the joint contract"),
            "columns": _list(_column()),
            "points": _list(_points(_pattern(COLUMN.pattern))),
        },
        {
            "base": _number("points that everybody has"),
            "beyond": _words(["cap", "refuse"]),
        },
    )
    return _document("BankModel", _metadata(version=True), spec)


def _scoring() -> Schema:
    indicator = _points(_ref("dataset.column"))
    group = _object(
        {"name": _name(), "indicators": _list(indicator)}, {"title": _text()}
    )
    veto = _object({"reason": _name(), "flags": _list(_ref())}, {"title": _text()})
    band = _object({"value": {"type": ["string", "integer"]}}, {"from": _number()})
    field = {
        "anyOf": [
            _object({"bands": _list(band)}),
            _object(
                {
                    "from": _number(),
                    "step": _number(),
                    "amount": _integer(1, "fen"),
                    "cap": _integer(1, "fen"),
                }
            ),
        ]
    }
    joint = _object({"least": _number(), "most": _number()})
    answers = {"expect": _map({"type": ["string", "integer"]}), "vetoed": _name()}
    example = _example(answers, {}, {"bank": _number("points, in a joint score")})
    spec = _object(
        _common()
        | {
            "base": _number("points that everybody has"),
            "groups": _list(group, 1, "first-level indicators 一级指标"),
            "outcome": _map(field, f"^(?:{COLUMN.pattern})$", 1),
            "release": _object(
                {"most_outcomes": _integer(), "narrowest_band": _number()},
                {"bits_per_90_days": _integer()},
            ),
            "examples": _list(example),
        },
        {
            "vetoes": _list(veto, 0, "一票否决"),
            "waivers": _waivers(),
            "step": _number("what real weights are rounded to"),
            "joint": _told(joint, "points that the bank adds"),
        },
    )
    return _document("ScoringContract", _metadata(version=True), spec)


def _example(
    answers: dict[str, Schema],
    more: dict[str, Schema] | None = None,
    optional: dict[str, Schema] | None = None,
) -> Schema:
    answers = answers | {INSUFFICIENT_DATA: {"const": True}}
    given = {"given": _map(_cell())} | (more or {})
    return _object(given, answers | (optional or {})) | {
        "oneOf": [{"required": [name]} for name in answers]
    }


def _query() -> Schema:
    query = _common() | {"examples": {}}
    head = {"bits_per_90_days": _integer(), "waivers": _waivers()}
    number = {
        ContractKind.RANGE: ("at_least", {}),
        ContractKind.VERIFY: ("tolerance", {"claim": _text()}),
    }
    kinds = []
    for kind, (name, claim) in number.items():
        asked = _object({"column": _ref(), name: _number()})
        examples = _list(_example({"expect": _text()}, claim))
        members = query | {"examples": examples, kind.value: asked}
        kinds.append(_object(members, head))
    statistics = [word.value for word in Statistic]
    wanted = _object(
        {"name": _name(), "epsilon": _number()},
        {"title": _text()}
        | {word: {"type": ["string", "boolean"]} for word in statistics},
    ) | {"oneOf": [{"required": [word]} for word in statistics]}
    aggregate = _object(
        {
            "dataset": _name(),
            "floor": _integer(),
            "most_subjects": _integer(),
            "numbers": _list(wanted),
        },
        {
            "by": _list(_pattern(COLUMN.pattern), 0),
            "filters": _list(_pattern(COLUMN.pattern), 0),
        },
    )
    kinds.append(_object(_common() | {ContractKind.AGGREGATE.value: aggregate}))
    asked = _object(
        {
            "list": _name(),
            "most_ids": _integer(),
            "sessions_per_quarter": _integer(),
        },
        {"mode": _words([word.value for word in Mode])},
    )
    kinds.append(
        _object(
            _common() | {ContractKind.PSI.value: asked},
            {"waivers": _waivers()},
        )
    )
    return _document("QueryContract", _metadata(version=True), {"anyOf": kinds})


SCHEMAS: Final[dict[str, Callable[[], Schema]]] = {
    "BankModel": _bank_model,
    "Dataset": _dataset,
    "PublicAttributes": _attributes,
    "QueryContract": _query,
    "ScoringContract": _scoring,
}
