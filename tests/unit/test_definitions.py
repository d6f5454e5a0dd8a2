"""A definition as a file: read strictly, written so that it reads as the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.assistant.definition import canonical, definition_of, on_channel, version_of
from server.assistant.files import SHIPPED, parse, read_definition, read_shipped, write
from server.errors import BadInput
from server.model import Definition, Exchange, Overrides

SMALL = "name: support\ninstructions: Be kind.\n"

readable = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\x85")
words = st.text(readable, min_size=1, max_size=200).map(str.strip).filter(bool)
lines = st.lists(
    st.sampled_from(
        ["", "  indented", "plain", "- item: x", "# no comment", "'quoted\"", "tail  ", "ü", "0\x850", "\t"]
    )
)
prose = st.one_of(words, lines.map("\n".join).map(str.strip).filter(bool))
temperatures = st.none() | st.floats(0, 2)
limits = st.none() | st.integers(16, 10**6)
modes = st.sampled_from([None, "stream", "background"])
overrides = st.builds(
    Overrides,
    instructions=st.none() | prose,
    model=st.sampled_from([None, "gpt-6-luna", "no", "1"]),
    temperature=temperatures,
    max_output_tokens=limits,
    run_mode=modes,
)
definitions = st.builds(
    Definition,
    name=st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True).filter(lambda name: not name.startswith("asst_")),
    instructions=prose,
    description=st.sampled_from(["", "yes", "null", "What: it does #1", "- \u2028x"]),
    examples=st.lists(st.builds(Exchange, prose, prose), max_size=3).map(tuple),
    tools=st.lists(st.sampled_from(["current_time", "recall", "no"]), unique=True).map(tuple),
    model=st.sampled_from([None, "gpt-6-luna", "1.0"]),
    temperature=temperatures,
    max_output_tokens=limits,
    run_mode=modes,
    keep_opening=st.sampled_from([None, True, False]),
    channels=st.dictionaries(st.sampled_from(["sms", "on", "websocket"]), overrides, max_size=3),
)


@example(Definition(name="a", instructions="0\x850"))
@settings(deadline=None)
@given(definitions)
def test_a_definition_comes_back_from_its_json_and_from_its_file(definition: Definition) -> None:
    assert definition_of(canonical(definition)) == definition
    assert parse(write(definition), "file") == definition


def test_the_order_of_the_keys_and_the_blank_space_make_no_version() -> None:
    one = parse("name: support\ninstructions: |\n  Be kind.\ntemperature: 1\n", "file")
    other = parse("temperature: 1.0\ninstructions: 'Be kind.'\nname: support\ntools: []\nmodel:\n", "file")
    assert version_of(one) == version_of(other)


def test_every_word_makes_a_version() -> None:
    one = parse(SMALL, "file")
    for change in (
        {"name": "other"},
        {"instructions": "Be brief."},
        {"description": "x"},
        {"temperature": 0.0},
        {"tools": ("recall",)},
        {"channels": {"sms": Overrides(max_output_tokens=100)}},
    ):
        assert version_of(replace(one, **change)) != version_of(one)


def test_what_is_not_said_is_not_hashed() -> None:
    """Or a field that comes to be would change every version there is."""
    assert json.loads(canonical(parse(SMALL, "file"))) == {"name": "support", "instructions": "Be kind."}


def test_a_channel_says_only_what_is_different_there() -> None:
    text = SMALL + "temperature: 1\nchannels:\n  sms:\n    max_output_tokens: 100\n    instructions: Be brief.\n"
    definition = parse(text, "file")
    there = on_channel(definition, "sms")
    assert (there.instructions, there.max_output_tokens, there.temperature) == ("Be brief.", 100, 1.0)
    assert on_channel(definition, "websocket") == definition


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (SMALL + "instructons: x", "instructons: there is no such field here; did you mean instructions?"),
        (SMALL + "colour: red", "colour: there is no such field here; there are"),
        ("name: support", "instructions: is missing; it takes text"),
        ("name: support\ninstructions: '  '", "instructions: is empty; it takes text"),
        ("name: support\ninstructions: " + "x" * 64_001, "instructions: is 'xxx"),
        ("name: support\ninstructions: 5", "instructions: is 5; it takes text"),
        ("name: Support Bot\ninstructions: x", "name: is 'Support Bot'; it takes lower-case letters"),
        ("name: asst_1\ninstructions: x", "name: begins with asst_; it takes lower-case letters"),
        (f"name: {'x' * 65}\ninstructions: x", "name: is 'xxx"),
        (SMALL + "description: |\n  a\n  b", "description: is 'a\\nb"),
        (SMALL + "tools: recall", "tools: is 'recall'; it takes a list of names"),
        (SMALL + "tools: [recall, recall]", "tools: names one twice"),
        (SMALL + "tools: [get inventory]", "tools.0: is 'get inventory'"),
        (SMALL + "temperature: hot", "temperature: is 'hot'; it takes a number from 0 to 2"),
        (SMALL + "temperature: 2.1", "temperature: is 2.1;"),
        (SMALL + "temperature: true", "temperature: is True;"),
        (SMALL + "temperature: .nan", "temperature: is nan;"),
        (SMALL + "max_output_tokens: 15", "max_output_tokens: is 15; it takes a whole number"),
        (SMALL + "max_output_tokens: 100.5", "max_output_tokens: is 100.5;"),
        (SMALL + "run_mode: fast", "run_mode: is 'fast'; it takes stream or background"),
        (SMALL + "examples: [{question: a}]", "examples.0.reply: is missing"),
        (SMALL + "examples: [{question: a, reply: b, note: c}]", "examples.0.note: there is no such field here"),
        (SMALL + "channels: {SMS: {model: x}}", "channels.SMS: is 'SMS'; it takes under the name of a channel"),
        (SMALL + "channels: {sms: {modle: x}}", "channels.sms.modle: there is no such field here; did you mean model?"),
        (SMALL + "channels: {sms: {name: x}}", "channels.sms.name: there is no such field here"),
        (SMALL + "channels: {sms: {temperature: 9}}", "channels.sms.temperature: is 9;"),
        (SMALL + "name: other", 'line 3, column 1: this is not good YAML: found duplicate key "name"'),
        ("name: [support", "line 1, column 15: this is not good YAML"),
        ("name: !!python/object:os.system x", "could not determine a constructor"),
        ("[" * 50_000, "this is nested deeper than any definition"),
        ("name: support\0", "this is not good YAML"),
        ("", "this is no definition; begin it with `name:`"),
        ("- name: support", "this is no definition"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(text, "bot.yaml")
    assert complaint in refused.value.message
    assert all(line.startswith("bot.yaml: ") for line in refused.value.message.splitlines())


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadInput) as refused:
        parse("name: X\ntemperature: 9\nrun_mode: fast", "bot.yaml")
    assert len(refused.value.message.splitlines()) == 4


def test_words_that_yaml_once_took_for_truth_are_words() -> None:
    assert parse("name: 'no'\ninstructions: yes\nmodel: on\n", "file").model == "on"


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml cannot be read: No such file"):
        read_definition(tmp_path / "none.yaml")
    (tmp_path / "old.yaml").write_bytes(b"name: support\ninstructions: Gr\xfc\xdfe\n")
    with pytest.raises(BadInput, match="is not UTF-8"):
        read_definition(tmp_path / "old.yaml")


def test_what_ships_is_named_as_its_file() -> None:
    shipped = read_shipped()
    assert set(shipped) == {"assistant", "debate", "images", "offline-debate", "offline-demo", "screening"}
    assert {path.stem for path in SHIPPED.iterdir()} == set(shipped)
    assert all(one.description for one in shipped.values())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name: support\ninstructions: "x\\0y"', "instructions: is"),
        ('name: support\ninstructions: x\ndescription: "\\e[31mred"', "description: is"),
        ("name: support\ninstructions: x\nmax_output_tokens: 1000001", "max_output_tokens: is 1000001"),
        ("name: support\ninstructions: &a x\ndescription: *a", "aliases (*name) are not taken"),
        ("name: support\ninstructions: " + "x" * 300_000, "this is too long for a definition"),
    ],
)
def test_what_would_do_harm_is_refused(text: str, fault: str) -> None:
    with pytest.raises(BadInput, match=re.escape(fault)):
        parse(text, "support.yaml")
