"""What a person at a phone is sent of a reply: whole sentences, and not too many of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.model import Draft, Usage
from server.turns.brevity import brief, whole, within


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Thank you. Your first name is Anna, is th", "Thank you."),
        ("Thank you! Is that right? Then tell me yo", "Thank you! Is that right?"),
        ("All is said.", "All is said."),
        ('She said "yes." Then she', 'She said "yes."'),
        ("That is $50,000.00 a year. Now the addr", "That is $50,000.00 a year."),
        ("It is Dr. Smith. And the next", "It is Dr. Smith."),
        ("You said Dr. Smith of No. 5 Elm", "You said Dr. Smith of No. 5..."),
        ("Your details. 1. Anna 2. Lee 3. the num", "Your details."),
        (
            "Your details:\nFirst name: Anna\nLast name: Lee\nPhone: +1500",
            "Your details:\nFirst name: Anna\nLast name: Lee",
        ),
        ("Welcome.\nYour details:\nFirst na", "Welcome."),
        ("Gracias… ¿Y su apell", "Gracias…"),
        ("谢谢。你的名字是安娜吗\uff1f请告诉我", "谢谢。你的名字是安娜吗\uff1f"),
        ("शुक्रिया। आपका नाम", "शुक्रिया।"),
        ("a sentence without any end that goes on and o", "a sentence without any end that goes on and..."),
        ("oneword", "oneword..."),
        ("... and", "..."),
    ],
)
def test_a_reply_that_ran_out_of_length_ends_with_its_last_whole_sentence(text: str, kept: str) -> None:
    assert whole(text) == kept
    assert brief(Draft(text, "length"), None).text == kept


def test_a_reply_that_came_to_its_end_is_left_alone() -> None:
    for text in ("no end here", "One. Two", ""):
        assert brief(Draft(text, "stop"), None).text == text


def test_a_reply_of_too_many_tokens_ends_with_the_last_sentence_that_fits() -> None:
    sentences = [f"This is sentence {number} of the reply." for number in range(10, 60)]
    sent = brief(Draft(" ".join(sentences), "stop"), 100).text
    assert len(sent) <= 400
    assert sent == " ".join(sentences[: sent.count(".")])
    assert sent.count(".") == 11


def test_what_the_provider_counted_outweighs_what_we_guess() -> None:
    text = "Ein ziemlich langes Wort ist Donaudampfschiff. " * 10
    assert brief(Draft(text, "stop", Usage(10, 100)), 100).text == text
    assert brief(Draft(text, "stop", Usage(10, 101)), 100).text != text
    # Some of them may have been thought, not said.
    assert brief(Draft("Short.", "stop", Usage(10, 400)), 100).text == "Short."


def test_an_error_is_told_whole() -> None:
    draft = Draft("x" * 1000, "error", code="provider_busy")
    assert brief(draft, 16) is draft


@given(st.text(), st.integers(16, 400))
def test_what_is_sent_is_the_begin_of_the_reply_and_within_its_bound(text: str, most: int) -> None:
    sent = within(text, most)
    assert len(sent.encode()) <= max(most, min(len(text.encode()), most))
    assert text.startswith(sent.removesuffix("..."))


@given(st.text(min_size=1))
def test_something_is_left_of_every_reply(text: str) -> None:
    assert whole(text).strip() or not text.strip()
