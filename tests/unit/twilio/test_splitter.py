"""Replies as SMS: what they cost, and where they are cut."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from server.model import Piece
from server.model.segments import BASIC, GSM, plain, segments_of, units_of
from server.model.sentences import sentence_ends
from server.model.splitter import MOST_UNITS, chat_parts, sms_parts

CALCULATOR = "sms-segments-calculator@1.3.0"
COUNT = """
const { SegmentedMessage } = require("sms-segments-calculator");
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => new SegmentedMessage(text).segmentsCount)));
"""
ONE_CHARACTER_EACH = [
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
    "\U0001f1e9\U0001f1ea",  # a flag
    "\U0001f44d\U0001f3fd",  # a thumb with its colour
    "e\u0301",
    "1\ufe0f\u20e3",
    "\u0928\u093f",
    "\U0001f600",
    "a",
    " ",
]
ALPHABETS: list[list[str]] = [
    sorted(BASIC),
    sorted(GSM),
    list("абвгд ежз"),
    list("日本語 です"),
    [chr(code) for code in range(1, 0x500)],
    ONE_CHARACTER_EACH,
]
# Three segments are 201 units in these alphabets.
TOO_LONG = {
    "spanish": (
        "Gracias, Ana López. Hemos anotado su nombre, su teléfono, su dirección y sus ingresos anuales antes de"
        " impuestos. La oficina se pondrá en contacto con usted en los próximos tres días laborables para la visita."
    ),
    "polish": (
        "Dziękujemy. Zapisaliśmy imię i nazwisko, numer telefonu, obecny adres oraz roczny dochód przed"
        " opodatkowaniem, które Pani podała. Biuro skontaktuje się z Panią w ciągu najbliższych trzech dni roboczych."
    ),
    "russian": (
        "Спасибо, Анна! Мы записали. Ваше имя, ваш телефон, ваш нынешний адрес и ваш годовой доход переданы"
        " в контору, которая сдаёт эту квартиру, и она непременно позвонит вам на следующей неделе или через неделю."
    ),
    "chinese": "谢谢。" + "我们已经记下了您的姓名和电话以及现在的住址" * 12,
}
SEED = int(os.environ.get("SEED", "20261120"))


@pytest.fixture(scope="session")
def calculator() -> Path:
    """Twilio's own, installed once beside the virtual environment's other tools."""
    folder = Path(sys.prefix) / "segments"
    if not (folder / "node_modules" / "sms-segments-calculator").exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm: Twilio's calculator is not asked")
        folder.mkdir(exist_ok=True)
        options = "--no-save --no-fund --no-audit --silent --fetch-retries=0"
        if os.system(f"cd '{folder}' && '{npm}' install {options} {CALCULATOR} >/dev/null 2>&1") != 0:
            pytest.skip("npm cannot install Twilio's calculator")
    return folder


def random_text(dice: random.Random) -> str:
    alphabet = dice.choice(ALPHABETS)
    length = dice.choice([dice.randrange(60), dice.randrange(60, 330), dice.randrange(300, 1600)])
    return "".join(dice.choice(alphabet) for _ in range(length))


def random_texts(count: int) -> list[str]:
    dice = random.Random(SEED)
    print(f"SEED={SEED}")  # Shown when the test fails.
    return [random_text(dice) for _ in range(count)]


def sms(text: str, budget: int, *links: str) -> list[str]:
    return [piece.text for piece in sms_parts(text, budget, links)]


def chat(text: str, budget: int) -> list[str]:
    return [piece.text for piece in chat_parts(text, budget)]


def price_of(pieces: Sequence[Piece], links: Sequence[str] = ()) -> int:
    """What Twilio is paid for it as SMS."""
    shown = [piece.text if piece.picture is None else links[piece.picture] for piece in pieces]
    return sum(map(segments_of, shown))


def test_segments_are_counted_as_twilio_counts_them(calculator: Path) -> None:
    texts = [*random_texts(400), *(unit * count for unit in "a€\u0431\U0001f600" for count in range(60, 165))]
    asked = subprocess.run(
        ["node", "-e", COUNT], input=json.dumps(texts), cwd=calculator, capture_output=True, text=True, check=True
    )
    assert [segments_of(text) for text in texts] == json.loads(asked.stdout)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ы" * 70, 1),
        ("ы" * 71, 2),
        ("\U0001f600" * 36, 2),
        ("a" * 1600, 11),
        ("ы" * 1600, 24),
    ],
)
def test_what_a_text_costs(text: str, segments: int) -> None:
    assert segments_of(text) == segments


def test_what_is_read_as_one_character_is_torn_where_it_is_longer_than_a_segment() -> None:
    accents = "\u0301" * 1_500
    assert segments_of("a" + accents) == 23
    assert segments_of("a" * 66 + "e" + "\u0301" * 66) == 2
    assert price_of(sms_parts("Look: a" + accents + ". " + "b" * 500, 3)) <= 3


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 40])
def test_every_text_is_split_within_the_budget_and_twilios_limit(budget: int) -> None:
    for text in random_texts(120):
        parts = sms(text, budget)
        assert all(part.strip() for part in parts)
        assert all(units_of(part) <= MOST_UNITS for part in parts)
        assert sum(map(segments_of, parts)) <= budget


def test_nothing_is_lost_where_the_budget_is_enough() -> None:
    for text in random_texts(120):
        for parts in (sms(text, 1000), chat(text * 3, 1000)):
            said = "".join("".join(parts).split())
            assert said in {"".join(plain(text).split()), "".join((text * 3).split())}


@pytest.mark.parametrize("length", [1300, 1600, 5000])
def test_the_text_that_the_seed_splits_for_ever_has_an_end(length: int) -> None:
    text = "Sure!\n" + "x" * length
    assert "".join("".join(chat(text, 50)).split()) == "".join(text.split())
    assert sum(map(segments_of, sms(text, 100))) <= 100


def test_it_is_cut_behind_a_sentence() -> None:
    text = "One short sentence. " * 200
    first, *_ = chat(text, 10)
    assert first.endswith("sentence.")
    assert len(first) > MOST_UNITS / 2


def test_it_is_cut_between_words_where_no_sentence_ends() -> None:
    first, second, *_ = chat("wörter und noch mehr " * 200, 10)
    assert first.split()[-1] in {"wörter", "und", "noch", "mehr"}
    assert second.split()[0] in {"wörter", "und", "noch", "mehr"}


def test_what_is_read_as_one_character_is_not_torn() -> None:
    family = ONE_CHARACTER_EACH[0]
    assert all(part == family * (len(part) // len(family)) for part in chat(family * 900, 100))


@pytest.mark.parametrize("text", TOO_LONG.values(), ids=TOO_LONG)
def test_a_reply_that_is_too_long_ends_with_a_sentence(text: str) -> None:
    [said] = sms(text, 3)
    assert text.startswith(said)
    assert len(said) in set(sentence_ends(text))
    assert len(said) < len(text)


@pytest.mark.parametrize("budget", [1, 2, 3, 7])
def test_every_reply_that_is_too_long_ends_with_a_sentence_if_one_has_room(budget: int) -> None:
    dice = random.Random(SEED)
    for _ in range(60):
        word = dice.choice(["słowo", "word", "слово", "a\U0001f600"])
        sentences = [" ".join([word] * dice.randrange(1, 40)) + "." for _ in range(30)]
        text = "\n".join(" ".join(sentences[part : part + 4]) for part in range(0, 30, 4))
        parts = sms(text, budget)
        assert price_of(sms_parts(text, budget)) <= budget
        if segments_of(sentences[0]) <= budget:
            assert parts[-1].endswith(".")
            assert not parts[-1].endswith("...")
            assert "".join(text.split()).startswith("".join("".join(parts).split()))
        else:
            assert parts[-1].endswith("...")


def test_a_point_that_ends_no_sentence_is_no_place_to_end() -> None:
    assert sms("Das ist gut. Bitte fragen Sie nach Herrn Dr. " + "Müller" * 40, 1) == ["Das ist gut."]


def test_a_sentence_that_is_too_long_ends_visibly() -> None:
    [part] = sms("it goes on and on " * 100, 3)
    assert part.endswith("...")
    assert segments_of(part) == 3
    assert "".join(sms("x" * 3_000, 15)[-1])[-4:] == "x..."


def test_one_curly_quote_does_not_halve_the_segment() -> None:
    text = "\u201cWell\u201d \u2013 that\u2019s it\u2026 " * 7
    [part] = sms(text, 3)
    assert segments_of(part) == 1
    assert part.startswith('"Well" - that\'s it...')


def test_what_needs_more_than_ascii_keeps_all_of_it() -> None:
    assert sms("“Да” – да…", 3) == ["“Да” – да…"]  # noqa: RUF001


def test_nothing_to_say_is_no_message() -> None:
    assert sms(" \n ", 3) == []


LINK = "https://chat.example.com/files/images/" + "0" * 64 + "?until=1790003600&sig=" + "A" * 22
LONG_LINK = LINK + "B" * 100


def test_a_link_is_a_message_of_its_own_of_one_segment() -> None:
    for words in ("Here is your picture.", "Oto Twój obraz."):
        assert sms_parts(words, 3, [LINK]) == [Piece(words), Piece("", 0)]
        assert price_of(sms_parts(words, 3, [LINK]), [LINK]) == 2


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 12, 40])
@pytest.mark.parametrize("link", [LINK, LONG_LINK])
def test_words_and_links_together_cost_no_more_than_the_budget(budget: int, link: str) -> None:
    for text in random_texts(60):
        for count in (1, 2, 32):
            pieces = sms_parts(text, budget, [link] * count)
            assert price_of(pieces, [link] * count) <= max(budget, segments_of(link))
            assert [piece.picture for piece in pieces if piece.picture is not None][:1] == [0]
            assert not any(piece.text for piece in pieces if piece.picture is not None)


def test_the_first_link_comes_whatever_it_costs_and_the_words_before_the_others() -> None:
    links = [LINK] * 32
    assert sms_parts("Here.", 3, links) == [Piece("Here."), Piece("", 0), Piece("", 1)]
    assert sms_parts("", 3, links) == [Piece("", 0), Piece("", 1), Piece("", 2)]
    assert sms_parts("Here.", 1, links) == [Piece("", 0)]
    assert sms_parts("Here.", 1, [LONG_LINK] * 2) == [Piece("", 0)]
    assert sms_parts("Here.", 3, ()) == [Piece("Here.")]
    words, link = sms_parts("It goes on and on. " * 100, 3, links)
    assert (segments_of(words.text), link) == (2, Piece("", 0))


def test_a_picture_goes_with_each_message_of_a_chat() -> None:
    assert chat_parts("Here.", 3, 2) == [Piece("Here.", 0), Piece("", 1)]
    assert chat_parts("Here.", 3, 32) == [Piece("Here.", 0), Piece("", 1), Piece("", 2)]
    assert chat_parts("", 3, 32) == [Piece("", 0), Piece("", 1), Piece("", 2)]
    assert chat_parts("Here.", 1, 32) == [Piece("Here.", 0)]
    assert chat_parts("Here.", 3) == [Piece("Here.")]


def test_in_a_chat_pictures_take_no_room_from_the_words() -> None:
    for text in random_texts(60):
        for budget in (1, 2, 3, 7):
            words, pieces = chat(text * 5, budget), chat_parts(text * 5, budget, 32)
            assert [piece.text for piece in pieces] == words + [""] * (budget - len(words))
            assert [piece.picture for piece in pieces] == list(range(budget))
