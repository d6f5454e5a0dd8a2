"""The screening of tenants by SMS: five details, in short and whole sentences, in the person's language."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.fakes.azure_server import FakeAzure
from tests.fakes.openai_server import Answer, FakeOpenAI, Fault, words
from tests.scenario.process import Start
from tests.scenario.texting import ANNA, SECRET, texting

STORY = (
    ("Hi, I saw the flat", "Welcome! We need five details for a first screening. What is your first name?"),
    ("Anna", "Your first name is Anna. Is that right?"),
    ("yes", "Thank you. What is your last name?"),
    ("Lee", "Your last name is Lee. Is that right?"),
    ("Yes", "Thank you. Shall we use the number you are texting from, or another one?"),
    ("this one", "We use the number you are texting from. Is that right?"),
    ("yes", "Thank you. What is your present address?"),
    ("5 Elm Street, 10115 Berlin", "Your address is 5 Elm Street, 10115 Berlin. Is that right?"),
    ("yes", "Thank you. What is your annual income before tax?"),
    ("52,000 euros", "Your annual income is 52,000 euros. Is that right?"),
    ("yes", "Anna Lee, this number, 5 Elm Street, 10115 Berlin, 52,000 euros. Thank you! The office will be in touch."),
)
# Of less than 100 tokens, and more than three segments in these alphabets: what arrives, and what has no room.
LANGUAGES = {
    "spanish": (
        "Gracias, Ana López. Hemos anotado su nombre, su teléfono, su dirección y sus ingresos antes de impuestos.",
        "La oficina se pondrá en contacto con usted en los próximos tres días laborables para acordar la visita.",
    ),
    "polish": (
        "Dziękujemy, zapisaliśmy imię i nazwisko, numer telefonu, obecny adres oraz roczny dochód brutto.",
        "Biuro skontaktuje się z Panią w ciągu najbliższych pięciu dni roboczych, aby umówić oglądanie mieszkania.",
    ),
    "russian": (
        "Спасибо, Анна! Мы записали ваше полное имя, ваш телефон, ваш нынешний адрес и ваш годовой доход до налогов.",
        "Контора, которая сдаёт эту квартиру, обязательно позвонит вам на следующей неделе или чуть позже.",
    ),
}


async def test_a_screening_of_five_details(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, kept: Mapping[str, object]
) -> None:
    provider.script(*(Answer(words(reply)) for _, reply in STORY))
    async with texting(start, sms, **kept) as phone:
        for said, reply in STORY:
            sent = await phone.ask(said)
            assert (sent.to, sent.text) == (ANNA, reply)
        told = [(role, text) for pair in STORY for role, text in zip(("user", "assistant"), pair, strict=True)]
        assert await phone.said() == told
        assert "rental office" in provider.questions[0].body["instructions"]
        assert [item["content"] for item in provider.questions[-1].body["input"]] == [text for _, text in told[:-1]]
        assert (await phone.grid.deliver(phone.grid.report(sms.sent[0].message_id, ANNA))).json()["accepted"] == 1
        assert (await phone.grid.deliver(phone.grid.report(sms.sent[0].message_id, ANNA))).json()["duplicates"] == 1
        listed = (await phone.api("GET", "")).json()
        assert listed["phone_numbers"] == [ANNA]
        deleted = await phone.api("DELETE", f"/{ANNA}")
        assert (deleted.status_code, deleted.json()) == (200, {"message": f"Conversation for {ANNA} deleted"})
        assert (await phone.api("GET", f"/{ANNA}")).status_code == 404
        assert (await phone.api("DELETE", f"/{ANNA}")).status_code == 404
        assert (await phone.api("GET", "")).json()["phone_numbers"] == []
        assert await phone.server.stop() == 0
    for secret in (SECRET, ANNA, ANNA[1:], "Elm", "52,000", "rental office", "azure-access-key"):
        assert secret not in phone.server.printed()


async def test_a_reply_is_not_cut_within_a_sentence_nor_longer_than_it_may_be(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    long = " ".join(f"This is sentence number {number}." for number in range(100, 200))
    provider.script(
        Answer(words("Thank you, Anna. What is your last na"), fault=Fault.INCOMPLETE_LENGTH, at=9),
        Answer(words(long)),
    )
    async with texting(start, sms) as phone:
        assert (await phone.ask("Anna")).text == "Thank you, Anna."
        sent = (await phone.ask("Lee")).text
        assert long.startswith(sent)
        assert sent.endswith(".")
        assert len(sent) <= 400
        assert (await phone.said())[-1] == ("assistant", sent)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_in_any_language_what_arrives_ends_with_a_sentence(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, language: str
) -> None:
    heard, lost = LANGUAGES[language]
    provider.script(Answer(words(f"{heard} {lost}")))
    async with texting(start, sms) as phone:
        assert (await phone.ask("...")).text == heard
