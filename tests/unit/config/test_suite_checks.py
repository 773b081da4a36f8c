"""What is wrong with an Evidently suite is found without Evidently, at its line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon.config.load import load_leniently
from daemon.config.suite_checks import MOST_ENTRIES
from daemon.schedule.rules import rules_of
from detectors.rules import SuiteEntry
from tests.unit.config.texts import BEGINNING, MODEL, Problems, told

LABELLED = MODEL + "    task: regression\n    labels: {topic: l}\n"
FRAUD = LABELLED.replace("regression", "binary_classification")
PROBABILITY = FRAUD.replace("{topic: t}", "{topic: t, fields: {score: p}}")
DRIFT = "{preset: DataDriftPreset}"

ENTRIES: list[tuple[str, str, str]] = [
    (
        MODEL,
        "{metric: MissingValueCont, column: a}",
        "metric: Evidently has no metric 'MissingValueCont' (did you mean MissingValueCount?)",
    ),
    (
        MODEL,
        "{preset: DataDriftPresets}",
        "preset: Evidently has no preset 'DataDriftPresets' (did you mean DataDriftPreset?)",
    ),
    (
        MODEL,
        "{metric: DataDriftPreset}",
        "metric: DataDriftPreset is a preset of Evidently's (preset: DataDriftPreset)",
    ),
    (MODEL, "{preset: RowCount}", "preset: RowCount is a metric of Evidently's (metric: RowCount)"),
    (
        MODEL,
        "{preset: TextEvals}",
        "preset: TextEvals is not available in this version (0.1.0): it needs descriptors, which are made in Python",
    ),
    (MODEL, "{column: a}", ": names neither a preset nor a metric ({preset: DataDriftPreset} or {metric: RowCount})"),
    (
        MODEL,
        "{preset: DatasetStats, metric: RowCount}",
        ": names both a preset and a metric ({preset: DataDriftPreset} or {metric: RowCount})",
    ),
    (MODEL, "{metric: MeanValue, colum: a}", "colum: MeanValue has no parameter 'colum' (did you mean column?)"),
    (MODEL, "{metric: MeanValue}", ": MeanValue needs the parameter 'column' (column: ...)"),
    (
        MODEL,
        "{metric: MeanValue, column: a, tests: {less: 3}}",
        "tests.less: Evidently has no test 'less' (known: eq, gt, gte, is_in, lt, lte, not_eq, not_in)",
    ),
    (
        MODEL,
        "{metric: MeanValue, column: a, tests: {lte: many}}",
        "tests.lte: must be a number, or {reference: ...}, not 'many'",
    ),
    (
        MODEL,
        "{metric: MeanValue, column: a, tests: {lte: true}}",
        "tests.lte: must be a number, or {reference: ...}, not true",
    ),
    (MODEL, "{metric: MeanValue, column: a, tests: {is_in: 3}}", "tests.is_in: must be a list of numbers, not 3"),
    (MODEL, "{metric: MeanValue, column: a, tests: 3}", "tests: must be tests with their limits, not 3 ({lte: 5})"),
    (
        MODEL,
        "{metric: MeanValue, column: a, tests: {lte: {ref: 1}}}",
        "tests.lte: must be a number, or a limit around the reference's value ({reference: {relative: 0.1}})",
    ),
    (
        MODEL,
        "{metric: MeanValue, column: a, tests: {lte: {reference: {relativ: 1}}}}",
        "tests.lte.reference.relativ: unknown key 'relativ' (did you mean relative?)",
    ),
    (
        MODEL,
        "{metric: MeanValue, column: a, tests: {lte: {reference: {relative: 0}}}}",
        "tests.lte.reference.relative: must be a number above 0, not 0 ({reference: {relative: 0.1}})",
    ),
    (
        MODEL,
        "{metric: UniqueValueCount, column: a, tests: {lte: 3}}",
        "tests: must hold tests by label ({late: {gte: 0.7}})",
    ),
    (
        MODEL,
        "{metric: UniqueValueCount, column: a, tests: {x: {le: 3}}}",
        "tests.x.le: Evidently has no test 'le' (did you mean lte?)",
    ),
    (
        MODEL,
        "{preset: DataSummaryPreset, tests: {lte: 3}}",
        (
            "tests: DataSummaryPreset has no tests of its own to be given "
            "(tests: default, or a parameter such as row_count_tests)"
        ),
    ),
    (
        MODEL,
        "{metric: ValueDrift, column: a, method: wassersten}",
        "method: Evidently has no test 'wassersten' (did you mean wasserstein?)",
    ),
    (MODEL, "{preset: DataDriftPreset, columns: a}", "columns: must be a list of columns, not 'a'"),
    (MODEL, "{metric: MeanValue, column: [a]}", "column: must be a column's name, not a list"),
    (
        MODEL + "    columns: {exclude: [a]}\n",
        "{metric: MeanValue, column: a}",
        "column: the column 'a' is excluded by columns.exclude",
    ),
    (MODEL, "{metric: MAE}", "metric: MAE judges the task regression, not none"),
    (
        FRAUD,
        "{preset: RegressionPreset}",
        "preset: RegressionPreset judges the task regression, not binary_classification",
    ),
    (MODEL + "    task: regression\n", "{metric: RMSE}", "metric: RMSE needs `labels`"),
    (LABELLED, "{metric: MAE, tests: {lte: 3}}", "tests: MAE has no parameter 'tests' (did you mean std_tests?)"),
    (FRAUD, "{metric: RocAuc}", "metric: RocAuc needs the field of the score (predictions: {fields: {score: ...}})"),
]


@pytest.mark.parametrize(("model", "entry", "problem"), ENTRIES, ids=[entry for _, entry, _ in ENTRIES])
def test_a_mistake_has_its_place(problems_of: Problems, model: str, entry: str, problem: str) -> None:
    text = f"{BEGINNING}{model}    evidently:\n      - {DRIFT}\n      - {entry}\n"
    (found,) = problems_of(text)
    assert found.line == len(text.splitlines())
    path = problem if problem.startswith(":") else f".{problem}"
    assert told([found])[0].partition(": ")[2] == f"models.m.evidently[1]{path}"


def test_what_fits_is_no_mistake(problems_of: Problems) -> None:
    good = "[{metric: RocAuc, tests: {gte: 0.8}}, {preset: ClassificationPreset, tests: default}]"
    assert problems_of(f"{BEGINNING}{PROBABILITY}    evidently: {good}\n") == []


def test_an_entry_stands_once(problems_of: Problems) -> None:
    entries = (
        "[{metric: RowCount, tests: {gt: 1}}, {metric: RowCount, tests: {gt: 2}}, {metric: RowCount, tests: {gt: 1}}]"
    )
    assert [
        line.partition("models.m.")[2] for line in told(problems_of(f"{BEGINNING}{MODEL}    evidently: {entries}\n"))
    ] == [
        "evidently[1]: measures the same as entry 1 (give one entry all of the tests)",
        "evidently[2]: is the same as entry 1 (an entry can stand once)",
    ]


def test_a_suite_is_a_list_and_not_endless(problems_of: Problems) -> None:
    for wrong in ("5", "{preset: DataDriftPreset}", "[DataDriftPreset]"):
        (line,) = told(problems_of(f"{BEGINNING}{MODEL}    evidently: {wrong}\n"))
        assert "must be a list of entries such as {preset: DataDriftPreset} or {metric: RowCount}" in line
    many = ", ".join(f"{{metric: MeanValue, column: c{i}}}" for i in range(MOST_ENTRIES + 1))
    (line,) = told(problems_of(f"{BEGINNING}{MODEL}    evidently: [{many}]\n"))
    assert line.endswith("models.m.evidently: has 51 entries; 50 are the limit")


def test_an_entry_reaches_the_detectors_with_its_variables_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "driftd.yaml"
    entry = '{metric: MeanValue, column: "${WHICH}", tests: {lte: 5, gt: {reference: {absolute: 2}}}}'
    file.write_text(f"{BEGINNING}{LABELLED}    evidently: [{entry}, {{metric: RMSE, tests: default}}]\n")
    suite = rules_of(load_leniently(file, environ={"WHICH": "age"}).settings, "m").suite
    assert suite == (
        SuiteEntry("MeanValue", {"column": "age", "tests": {"lte": 5, "gt": {"reference": {"absolute": 2}}}}),
        SuiteEntry("RMSE", {}, default_tests=True, labelled=True),
    )


def test_the_check_does_not_import_evidently() -> None:
    code = (
        "import daemon.config.load, daemon.schedule.evaluate, sys; "
        "assert not {'evidently', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
