"""Where each thing is in the table.

| pk | sk | what |
|---|---|---|
| `conversation#<id>` | `head` | the conversation, its lease, what waits in it |
| | `entry#<offset>` | a question or a reply |
| | `step#<question>#<attempt>#<order>` | of the turn under way |
| | `letter#<question>` | a dead letter |
| | `part#<sk>#<n>` | of a text too large for one item |
| | `outbox` | which replies are to be sent to a phone, and who sends them |
| | `message#<offset>#<n>` | what is known of a message to a phone, a part of a reply |
| `user#<person>` | `current#<channel>` | the current conversation |
| | `claim#<message id>` | a message id that was used |
| | `connection#<id>` | an open socket |
| | `optout#<channel>` | the person wants nothing sent there |
| | `notes`, `note#<n>`, `noted#<digest of key>` | how many notes, a note, a key that was used |
| `letters#<shard>` | `<time>#<conversation>#<question>` | which dead letters there are |
| `callers#<channel>` | `<person>` | who has conversations on a channel of phones |
| `nodes` | `<url>` | a process, and how long it is known to live |
| `signouts` | `<time>#<person>` | a sign-out |
| `receipt#<channel>#<provider's id>` | `receipt` | what became of a message to a phone |
| `account#<name>` | `account` | a sum |
| `assistants` | `<name>` | an assistant, and where its stages point |
| `assistant#<life>#<name>` | `version#<id>` | a definition |
| | `move#<life of the stage>#<n>` | where a stage pointed |

Numbers in a key are padded, so that they sort. A life is drawn when something begins: what belonged to one that was
forgotten is out of reach at once, however long it takes to delete it.
"""

from __future__ import annotations

import zlib

from server.backends.dynamodb.items import Key

SHARDS = 16
NEWEST = 10**10 - 1
# Bytes: DynamoDB refuses sort keys of more than 1,024. Letters: no id that was ever given is as long.
LONGEST_KEY = 1_000
LONGEST_ID = 500


def shard(conversation_id: str) -> int:
    return zlib.crc32(conversation_id.encode()) % SHARDS


def conversation(conversation_id: str) -> str:
    return f"conversation#{conversation_id[:LONGEST_ID]}"


def user(person: str) -> str:
    return f"user#{person}"


def head(conversation_id: str) -> Key:
    return Key(conversation(conversation_id), "head")


def conversation_id(key: Key) -> str:
    return key.pk.removeprefix("conversation#")


def entry(conversation_id: str, offset: int) -> Key:
    return Key(conversation(conversation_id), f"entry#{offset:010}")


def offset(key: Key) -> int:
    """Of an entry, or of the question that a letter is about."""
    return int(key.sk.rpartition("#")[2])


def steps(question: int) -> str:
    """What the keys of all steps of a question begin with."""
    return f"step#{question:010}#"


def step(conversation_id: str, question: int, attempt: int, order: int) -> Key:
    return Key(conversation(conversation_id), f"{steps(question)}{attempt:010}#{order:020}")


def part(whole: Key, number: int) -> Key:
    return Key(whole.pk, f"part#{whole.sk}#{number:03}")


def letter(conversation_id: str, question: int) -> Key:
    return Key(conversation(conversation_id), f"letter#{question:010}")


def letters(number: int) -> str:
    return f"letters#{number}"


def letter_listing(conversation_id: str, question: int, created_at: int) -> Key:
    return Key(letters(shard(conversation_id)), f"{created_at:015}#{conversation_id}#{question:010}")


def listed_letter(listing: Key) -> Key:
    _, conversation_id, question = listing.sk.split("#")
    return letter(conversation_id, int(question))


def outbox(conversation_id: str) -> Key:
    return Key(conversation(conversation_id), "outbox")


def outbox_shard(conversation_id: str) -> int:
    """In the index of what waits, beside the shards of the conversations."""
    return SHARDS + shard(conversation_id)


def messages(offset: int) -> str:
    """What the keys of all messages of a reply begin with."""
    return f"message#{offset:010}#"


def message(conversation_id: str, offset: int, index: int) -> Key:
    return Key(conversation(conversation_id), f"{messages(offset)}{index:05}")


def receipt(channel: str, provider_id: str) -> Key:
    return Key(f"receipt#{channel}#{provider_id}", "receipt")


def opt_out(person: str, channel: str) -> Key:
    return Key(user(person), f"optout#{channel}")


def account(name: str) -> Key:
    return Key(f"account#{name}", "account")


def current(person: str, channel: str) -> Key:
    return Key(user(person), f"current#{channel}")


def claim(person: str, message_id: str) -> Key:
    return Key(user(person), f"claim#{message_id}")


def connection(person: str, connection_id: str) -> Key:
    return Key(user(person), f"connection#{connection_id}")


def callers(channel: str) -> str:
    return f"callers#{channel}"


def caller(channel: str, person: str) -> Key:
    return Key(callers(channel), person)


def node(url: str) -> Key:
    return Key("nodes", url)


def notes(person: str) -> Key:
    return Key(user(person), "notes")


def note(person: str, number: int) -> Key:
    return Key(user(person), f"note#{number:010}")


def noted(person: str, digest: str) -> Key:
    return Key(user(person), f"noted#{digest}")


SIGN_OUTS = "signouts"


def sign_out(person: str, at: int) -> Key:
    return Key(SIGN_OUTS, f"{at:015}#{person}")


ASSISTANTS = "assistants"


def assistant(name: str) -> Key:
    return Key(ASSISTANTS, name)


def version(name: str, life: str, version_id: str) -> Key:
    return Key(f"assistant#{life}#{name}", f"version#{version_id}")


def moves(stage_life: str) -> str:
    """What the keys of all moves of a stage begin with."""
    return f"move#{stage_life}#"


def move(name: str, life: str, stage_life: str, number: int) -> Key:
    return Key(f"assistant#{life}#{name}", f"{moves(stage_life)}{number:010}")
