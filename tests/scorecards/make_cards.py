"""Make the cards of this folder with the packages that write such cards.

    python make_cards.py TOOL DIRECTORY     TOOL: scorecardpy, toad or optbinning

Each is fitted on the 1,000 rows of examples/german-credit/source/germancredit.csv;
every seventh `credit_amount` is taken out, so that cards have a bin of missing values.
`<tool>.csv` is what the tool writes, as its manual says; `<tool>_sample.csv` holds
every fifth row and in `score` what the tool itself scores it.

Made with Python 3.11.7, numpy 2.4.6, scikit-learn 1.9.1 and

    scorecardpy 0.1.9.7    with pandas 2.3.3: pandas 3 has not what it calls
    toad 0.1.7             with pandas 3.1.1
    optbinning 1.0.0       with pandas 3.1.1
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.linear_model import LogisticRegression

SOURCE = Path(__file__).parents[2] / "examples/german-credit/source/germancredit.csv"
COLUMNS = [
    "duration_in_month",
    "credit_amount",
    "age_in_years",
    "credit_history",
    "savings_account_and_bonds",
    "purpose",
    "property",
    "housing",
]
TARGET = "creditability"


def table() -> pd.DataFrame:
    """Read the rows, and take some amounts out."""
    rows = pd.read_csv(SOURCE, keep_default_na=False)[[*COLUMNS, TARGET]]
    rows["credit_amount"] = rows["credit_amount"].astype(float)
    rows.loc[rows.index % 7 == 0, "credit_amount"] = None
    rows[TARGET] = (rows[TARGET] == "bad").astype(int)
    return rows


def scorecardpy(rows: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
    """Fit as the README of scorecardpy does."""
    import scorecardpy as sc  # noqa: PLC0415

    bins = sc.woebin(rows, y=TARGET)
    woe = sc.woebin_ply(rows, bins)
    names = [name for name in woe.columns if name != TARGET]
    model = LogisticRegression(C=0.9, max_iter=1000).fit(woe[names], woe[TARGET])
    card = sc.scorecard(bins, model, names)
    scores = sc.scorecard_ply(rows, card)["score"]
    return pd.concat(card, ignore_index=True), scores


def toad(rows: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
    """Fit as the tutorial of toad does; points with two decimals, its default."""
    import toad as td  # noqa: PLC0415

    combiner = td.transform.Combiner()
    combiner.fit(rows, y=TARGET, method="chi", min_samples=0.05, empty_separate=True)
    coder = td.transform.WOETransformer()
    woe = coder.fit_transform(combiner.transform(rows), rows[TARGET], exclude=[TARGET])
    card = td.ScoreCard(combiner=combiner, transer=coder, C=0.9, max_iter=1000)
    card.fit(woe[COLUMNS], woe[TARGET])
    return card.export(to_frame=True), card.predict(rows[COLUMNS])


def optbinning(rows: pd.DataFrame, *, rounding: bool = True) -> tuple[Any, Any]:
    """Fit as the tutorial of optbinning does, and print all digits of its edges."""
    from optbinning import BinningProcess, Scorecard  # noqa: PLC0415

    texts = [name for name in COLUMNS if not pd.api.types.is_numeric_dtype(rows[name])]
    card = Scorecard(
        binning_process=BinningProcess(COLUMNS, categorical_variables=texts),
        estimator=LogisticRegression(C=0.9, max_iter=1000),
        scaling_method="min_max",
        scaling_method_params={"min": 300, "max": 850},
        rounding=rounding,
    )
    card.fit(rows[COLUMNS], rows[TARGET], metric_missing="empirical", show_digits=6)
    style = "summary" if rounding else "detailed"
    return card.table(style=style), card.score(rows[COLUMNS])


def optbinning_exact(rows: pd.DataFrame) -> tuple[Any, Any]:
    """Fit the same, with the points not rounded and all columns of the table."""
    return optbinning(rows, rounding=False)


TOOLS: dict[str, Callable[[pd.DataFrame], tuple[Any, Any]]] = {
    "scorecardpy": scorecardpy,
    "toad": toad,
    "optbinning": optbinning,
    "optbinning_exact": optbinning_exact,
}


def main(tool: str, directory: Path) -> None:
    """Write a tool's card and sample."""
    rows = table()
    card, scores = TOOLS[tool](rows.copy())
    card.to_csv(directory / f"{tool}.csv", index=False, lineterminator="\n")
    sample = rows[COLUMNS].assign(score=scores)[::5]
    sample["credit_amount"] = sample["credit_amount"].astype("Int64")
    sample.to_csv(directory / f"{tool}_sample.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
