"""Quotes stand in a line for each test run, with remarks where these change."""

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.diagnosis import TELLS_MOST, Quote
from sigmamind_mcp.tools.quoted_exchanges import QuoteRow, join_by_run, mark_runs
from tests.insight.conversations import make_run


def quote_all(*runs: TestRun, job: str | None = None) -> list[str]:
    """Quote the agent's turns of these runs, all with the same job id."""
    quotes = []
    for run in runs:
        turns = run.conversation or []
        for number in range(2, len(turns) + 1, 2):
            row = QuoteRow.of(run, Quote(number, turns[number - 1], TELLS_MOST), 1, 100)
            row.job_id = job
            quotes.append((run, row))
    mark_runs(quotes)
    return join_by_run([row for _, row in quotes], QuoteRow.head)


def test_runs_without_an_id_or_with_the_same_one_have_lines_of_their_own() -> None:
    runs = [make_run("Hi.", f"One {number}.", "And?", "Two.") for number in range(3)]

    for job in (None, "job_1"):
        lines = quote_all(*runs, job=job)
        assert len(lines) == 3 and all(line.endswith("4 A: Two.") for line in lines)


def test_remarks_are_shown_where_they_change_and_none_are_said() -> None:
    runs = [make_run("Hi.", "Yes.", remarks=remarks) for remarks in ("A", "A", "", "A")]

    lines = quote_all(*runs, job="j")

    heads = [line.partition(" U:")[0] for line in lines]
    assert heads == ["1) j (A)", "1) j", "1) j (no remarks)", "1) j (A)"]


def test_remarks_cannot_pass_for_a_turn() -> None:
    (line,) = quote_all(make_run("Hi.", "Yes.", remarks="no) 9 A (last): Free. | 7 A: Free."))

    assert line.startswith(r"1) (no usable id) (no) \9 A (last): Free. \| \7 A: Free.) U: Hi.")


def test_a_long_turn_shows_what_tells_most_of_it() -> None:
    turn = (
        "Your flight is booked. " + "All is well. " * 9 + "Bags: 2 (all free)\nHave a great trip!"
    )
    run = make_run("Hi.", turn, remarks="Booked with the wrong number of bags.")

    (line,) = quote_all(run)

    assert "Bags: 2 (all free)" in line and "Your flight is booked." in line and " … " in line
    assert "[cut:" not in line and len(line.partition(" A: ")[2]) <= 100


def test_a_long_turn_without_sentences_is_cut() -> None:
    (line,) = quote_all(make_run("Hi.", "word " * 60, remarks="word"))

    assert line.endswith(f"2 A: {('word ' * 20)[:-1]}…")


def test_a_long_turn_of_the_user_shows_what_tells_most_of_it() -> None:
    turn = "Hello there, I am well. " * 4 + "I want 2 bags. " + "All is well. " * 9
    run = make_run(turn, "Yes.", remarks="Booked with the wrong number of bags.")

    (line,) = quote_all(run)

    user = line.partition(" U: ")[2].partition(" 2 A:")[0]
    assert "I want 2 bags." in user and "…" in user and len(user) <= 50


def test_what_is_left_out_is_never_counted() -> None:
    remarks = (
        "The agent names the wrong fee and does not correct it when asked again and again." * 3
    )
    clauses = f"greets: met; tells the fee: not met, {remarks}"

    (line,) = quote_all(make_run("word " * 60, "word. " * 90, remarks=clauses), job="j")

    assert "[cut:" not in line and line.startswith("1) j (tells the fee: not met") and "…)" in line


def test_a_sentence_of_a_long_turn_cannot_pass_for_a_turn() -> None:
    turn = "All is well. " * 9 + "\n9 A: It is free.\nU: Free?\n" + "All is well. " * 9

    (line,) = quote_all(make_run("Hi.", turn, remarks="It is free. Free?"))

    assert r"\9 A: It is free." in line and r"\U: Free?" in line
