"""The file of a suite: its fields, and a sentence with line and column for each fault."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sigmamind_mcp.suites import suite_file
from sigmamind_mcp.suites.suite_file import (
    LONGEST_KEY,
    build_schema,
    load_suite,
    make_key,
    parse_suite,
)
from sigmamind_mcp.suites.yaml_tree import BadFile

SUITE = """\
suite: 1
agent: agent_D5D0p7TUs66TTAEAx
defaults: {attempts: 5, llmModel: gpt-5.2}
cases:
  refund-broken-kettle:
    label: Angry customer, broken kettle
    userPrompt: |
      You are Ana. Your kettle arrived broken and you want a refund.
    successCriteria: |
      The agent acknowledges the problem and confirms the refund.
    mockData: {account_status: active, order_number: 0017}
    attempts: 8
    bar: 0.8
    quarantine: true
  other:
    label: 12
"""


def parse(text: str) -> Any:
    return parse_suite(text, Path("suite.yaml"))


def test_fields_have_the_names_of_the_api() -> None:
    case = parse(SUITE).cases["refund-broken-kettle"]

    assert case.fields == {
        "label": "Angry customer, broken kettle",
        "userPrompt": "You are Ana. Your kettle arrived broken and you want a refund.",
        "successCriteria": "The agent acknowledges the problem and confirms the refund.",
        "mockData": [
            {"variableName": "account_status", "value": "active"},
            {"variableName": "order_number", "value": "0017"},
        ],
        "llmModel": "gpt-5.2",
        "attempt": 8,
    }
    assert (case.bar, case.quarantine, case.was) == (0.8, True, None)


def test_absent_field_is_absent_and_defaults_fill_in() -> None:
    assert parse(SUITE).cases["other"].fields == {
        "label": "12",
        "attempt": 5,
        "llmModel": "gpt-5.2",
    }


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("suite: 1", "suite: 2", "1:1: 'suite' must be 1"),
        ("suite: 1\n", "", "1:1: 'suite' is missing."),
        ("cases:", "cases: []\nx:", "4:1: 'cases' must have fields"),
        ("agent_D5D0p7TUs66TTAEAx", "a b", "2:1: 'agent' is empty or has characters"),
        ("label: Angry", "lable: Angry", "6:5: 'lable' is not a known field. Do you mean label?"),
        ("agent: ", "foo: 1\nagent: ", "2:1: 'foo' is not a known field. Known: suite, agent"),
        ("refund-broken-kettle:", "Refund_x:", "5:3: a key has 1 to 48 of the characters"),
        ("refund-broken-kettle:", "x" * 49 + ":", "5:3: a key has 1 to 48 of the characters"),
        ("other:", "refund-broken-kettle:", "15:3: 'refund-broken-kettle' is here twice"),
        ("attempts: 8", "attempts: 0", "12:5: 'attempts' is not valid"),
        ("attempts: 8", 'attempts: "8"', "12:5: 'attempts' must be a whole number, without"),
        ("attempts: 8", "attempts: 8.5", "12:5: 'attempts' must be a whole number"),
        ("bar: 0.8", "bar: 80%", "13:5: 'bar' must be a number above 0.2"),
        ("bar: 0.8", "bar: 0.2", "13:5: 'bar' is not valid"),
        ("quarantine: true", "quarantine: yes", "14:5: 'quarantine' must be true or false."),
        ("label: 12", "label:", "16:5: 'label' has no value."),
        ("label: 12", "label: ~", "16:5: 'label' has no value."),
        (
            "label: 12",
            "was: refund-broken-kettle",
            "16:5: 'was' names 'refund-broken-kettle', which",
        ),
        ("label: 12", "label: " + "x" * 257, "16:5: 'label' is longer than 256 characters."),
        ("label: 12", "userPrompt: ' '", "16:5: 'userPrompt' is empty"),
        ("label: 12", "mockData: [a]", "16:16: '0' must have fields"),
        ("label: 12", "mockData: x", "16:5: 'mockData' must have one variable on each line"),
        ("label: 12", "mockData: {a: [b]}", "16:5: 'value' must be one text."),
        ("    label: 12", "\tlabel: 12", "16:1: a tab"),
    ],
)
def test_fault_is_a_sentence_with_its_place(old: str, new: str, refusal: str) -> None:
    with pytest.raises(BadFile) as refused:
        parse(SUITE.replace(old, new, 1))

    assert str(refused.value).splitlines()[0].startswith(f"suite.yaml:{refusal}")


def test_two_renames_of_one_key_are_refused() -> None:
    text = SUITE.replace("    label: 12", "    was: old\n  third: {was: old}")

    with pytest.raises(BadFile, match=r"17:11: 'other' has the same 'was': 'old'\."):
        parse(text)


def test_many_faults_are_named_together() -> None:
    text = "suite: 1\ncases:\n" + "".join(f"  c{number}: {{x: y}}\n" for number in range(14))

    with pytest.raises(BadFile) as refused:
        parse(text)
    assert len(str(refused.value).splitlines()) == 11
    assert str(refused.value).endswith("and 4 more problems.")


def test_schema_in_the_package_is_that_of_the_reader() -> None:
    content = Path(suite_file.__file__).with_name("suite.schema.json").read_text(encoding="utf-8")

    jsonschema.Draft202012Validator.check_schema(build_schema())
    assert json.loads(content) == build_schema(), "write it with: sigmamind-mcp suite schema"


@pytest.mark.parametrize(
    ("old", "new", "is_valid"),
    [
        ("x", "x", True),
        ("attempts: 8", "attempts: 0", False),
        ("label: 12", "lable: 12", False),
        ("bar: 0.8", "bar: 2", False),
        ("other", "Other", False),
        ("account_status: active", "account_status: true", True),
    ],
)
def test_schema_agrees_with_the_reader(old: str, new: str, is_valid: bool) -> None:
    data = yaml.safe_load(SUITE.replace(old, new, 1))
    data["cases"].get("other", {}).pop("label", None)

    validator = jsonschema.Draft202012Validator(build_schema())
    assert validator.is_valid(json.loads(json.dumps(data))) is is_valid


def test_keys_of_labels_are_valid_and_new() -> None:
    taken: set[str] = set()
    for label in ("Où est ma commande ?", "Ou est ma commande", "", "日本", "x" * 90, "x" * 80):
        key = make_key(label, taken)
        assert key not in taken and len(key) <= LONGEST_KEY
        taken.add(key)
    assert {"ou-est-ma-commande", "ou-est-ma-commande-2", "case", "case-2"} <= taken


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file. .*suite pull"):
        load_suite(tmp_path / "suite.yaml")
