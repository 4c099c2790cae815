"""Reading YAML: values with their places, and one clear sentence for what is refused."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sigmamind_mcp.suites import yaml_tree
from sigmamind_mcp.suites.yaml_tree import (
    BadFile,
    FilePlace,
    parse_yaml,
    read_text_file,
    write_text_file,
)

BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: 1\n\tb: 2", "f:2:1: a tab"),
        ("a:\n\t- x", "f:2:1: a tab"),
        (BOMB, "f:1:4: anchors (&) and aliases (*) are not supported."),
        ("a: *x", "f:1:4: anchors"),
        ("a: !!python/object/apply:os.system [x]", "f:1:4: tags (!) are not supported."),
        ("a: !include x", "f:1:4: tags"),
        ("!!map {a: b}", "f:1:1: tags"),
        ("<<: {a: b}", "f:1:1: merge keys (<<) are not supported."),
        ("a: 1\nb: 2\na: 3", "f:3:1: 'a' is here twice; the first is in line 1."),
        ("a: 1\n---\nb: 2", "f:2:1: a second document"),
        ("[" * 5_000, "f:1:22: values are nested deeper than 20 levels."),
        ("? [a]\n: b", "f:1:3: the name of a field must be a text."),
        ("a: @x", "f:1:4: a text that begins with @"),
        ("a: b: c", "f:1:5: a text with ': '"),
        ("a: 'x", "f:1:6: a quotation mark or a bracket is never closed."),
        ('a: "\\q"', "f:1:6: in"),
        ("a: x\x07", "f:1:5: this character is not allowed"),
        ("é: x\nb: \x01", "f:2:4: this character is not allowed"),
        ("", "f: the file is empty."),
        ("# only a comment", "f: the file is empty."),
    ],
)
def test_what_a_suite_never_needs_is_refused_with_its_place(text: str, refusal: str) -> None:
    with pytest.raises(BadFile) as refused:
        parse_yaml(text, "f")

    assert str(refused.value).startswith(refusal) and "\n" not in str(refused.value)


def test_too_many_values_are_refused_before_they_are_all_read() -> None:
    with pytest.raises(BadFile, match="more than 100,000 values"):
        parse_yaml("[" + "a," * 150_000 + "]", "f")


@pytest.mark.parametrize("word", ["yes", "no", "on", "0017", "39.90", "12:30", "2026-01-02", "1e3"])
def test_plain_words_stay_the_text_that_was_written(word: str) -> None:
    assert parse_yaml(f"a: {word}", "f").to_data() == {"a": word}


def test_places_are_those_of_the_names() -> None:
    tree = parse_yaml("a:\n  b: [x, {c: y}]\n", "f")

    assert tree.find_place(("a", "b")) == FilePlace(2, 3)
    assert tree.find_place(("a", "b", 1, "c")) == FilePlace(2, 11)
    assert tree.find_place(("a", "missing")) == FilePlace(1, 1)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (None, "there is no such file"),
        (b"a" * (yaml_tree.LARGEST_FILE + 1), "larger than 2 MB"),
        (b"a: 1\nb: \xff", ":2: it is not UTF-8"),
    ],
)
def test_file_that_cannot_be_read_is_refused(
    content: bytes | None, refusal: str, tmp_path: Path
) -> None:
    path = tmp_path / "suite.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadFile, match=refusal):
        read_text_file(path)


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"\xef\xbb\xbfsuite: 1")

    assert read_text_file(path) == "suite: 1"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("links", [1, 2])
@pytest.mark.parametrize("exists", [True, False])
def test_link_stays_a_link_and_its_target_is_written(
    links: int, tmp_path: Path, *, exists: bool
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = folder / "target.yaml"
    if exists:
        target.write_text("old", encoding="utf-8")
    path = target
    for number in range(links):
        link = tmp_path / f"link-{number}.yaml"
        link.symlink_to(os.path.relpath(path, tmp_path))
        path = link

    write_text_file(path, "new")

    assert path.is_symlink() and target.read_text(encoding="utf-8") == "new"
    assert [entry.name for entry in folder.iterdir()] == ["target.yaml"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444, 0o755])
def test_file_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("old", encoding="utf-8")
    path.chmod(mode)

    write_text_file(path, "new")

    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev")
@pytest.mark.parametrize("output", ["pipe", "file"])
def test_stdout_can_be_written_by_its_path(output: str, tmp_path: Path) -> None:
    # Not /dev/stdout: code that replaces files would replace that one for the whole machine.
    code = (
        "from pathlib import Path; from sigmamind_mcp.suites.yaml_tree import write_text_file\n"
        "print('before', flush=True); write_text_file(Path('/dev/fd/1'), 'text\\n')\n"
        "print('after')"
    )
    path = tmp_path / "out.txt"
    with path.open("ab") as file:
        stdout = file if output == "file" else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", code], stdout=stdout, check=True, timeout=60)

    written = path.read_bytes() if output == "file" else done.stdout
    assert written == b"before\ntext\nafter\n"


def test_place_that_cannot_be_written_is_named_and_nothing_is_left_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    for path in (folder, tmp_path / "missing" / "suite.yaml"):
        with pytest.raises(BadFile, match="it cannot be written"):
            write_text_file(path, "new")
    assert list(tmp_path.iterdir()) == [folder]
