"""The tables as the queries see them. What is in a database is decided by `migrations/`; a test holds the two together.

Times are milliseconds since 1970. Ids compare byte by byte, also on MySQL, whose default ignores case.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, false
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def word(length: int) -> TypeEngine[str]:
    """A short string that is compared: an id, a code."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def prose() -> TypeEngine[str]:
    """What people and models say, of any length."""
    return Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


conversations = Table(
    "conversations",
    metadata,
    Column("id", word(64), primary_key=True),
    Column("person", word(128), nullable=False),
    Column("channel", word(32), nullable=False),
    Column("assistant", word(128), nullable=False),
    Column("epoch", word(32), nullable=False),
    Column("head", Integer, nullable=False, doc="offset of the newest entry"),
    Column("answered", Integer, nullable=False, doc="every question up to this offset has its reply"),
    Column("waiting", Integer, nullable=False, doc="how many questions have none"),
    Column("attempt", Integer, nullable=False, doc="the newest lease"),
    Column("lease_owner", word(255), nullable=False),
    Column("lease_until", BigInteger, nullable=False, doc="0: let go"),
    Column("due_at", BigInteger, nullable=False, doc="a failed question waits until then"),
    Column("tries", Integer, nullable=False, doc="of the oldest question that waits"),
    Column("failures", Integer, nullable=False, doc="of the oldest question that waits"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("steps", Integer, nullable=False, default=0, server_default="0", doc="noted of the turn under way"),
    Column("thread", word(128), doc="at the provider"),
    Column(
        "through",
        Integer,
        nullable=False,
        default=0,
        server_default="0",
        doc="last question of the turn under way; 0: it was not begun, or its question waits for no quiet",
    ),
    Index("conversations_by_person", "person", "updated_at"),
    Index("conversations_waiting", "waiting"),
    Index("conversations_by_channel", "channel", "person"),
)

current_conversations = Table(
    "current_conversations",
    metadata,
    Column("person", word(128), primary_key=True),
    Column("channel", word(32), primary_key=True),
    Column("conversation_id", word(64), nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("conversation_id", word(64), primary_key=True),
    Column("offset", Integer, primary_key=True, autoincrement=False),
    Column("message_id", word(64), nullable=False),
    Column("text", prose(), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("question", Integer, doc="null: this is a question; else the offset of the one this replies to"),
    Column("cancelled", Boolean, nullable=False, default=False, server_default=false(), doc="of a question"),
    Column("finish_reason", word(32)),
    Column("code", word(64), doc="set: the reply is an error"),
    Column("retryable", Boolean),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("assistant", word(128), doc="name@version that replied"),
    Column("quiet", Integer, nullable=False, default=0, server_default="0", doc="ms of silence a question waits for"),
    Column("through", Integer, doc="offset of the last question of several that it replies to"),
    Column("message_ids", prose(), doc="JSON: of all questions, where it replies to several"),
    Column("images", prose(), doc="JSON: keys of files of a reply"),
)

steps = Table(
    "steps",
    metadata,
    Column("conversation_id", word(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", word(16), nullable=False),
    Column("body", prose(), nullable=False, doc="JSON"),
)

notes = Table(
    "notes",
    metadata,
    Column("person", word(128), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("note_key", word(64), nullable=False, doc="a digest"),
    Column("text", prose(), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("notes_by_key", "person", "note_key", unique=True),
)

connections = Table(
    "connections",
    metadata,
    Column("id", word(64), primary_key=True),
    Column("person", word(128), nullable=False),
    Column("node", word(255), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("connections_by_person", "person"),
    Index("connections_by_node", "node"),
    Index("connections_by_age", "expires_at"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("url", word(255), primary_key=True),
    Column("alive_until", BigInteger, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("person", word(128), primary_key=True),
    Column("message_id", word(64), primary_key=True),
    Column("conversation_id", word(64), nullable=False),
    Column("offset", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("claims_by_age", "created_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("conversation_id", word(64), primary_key=True),
    Column("offset", Integer, primary_key=True, autoincrement=False),
    Column("person", word(128), nullable=False),
    Column("code", word(64), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("text", prose(), doc="of all questions, where these were several"),
    Index("dead_letters_by_age", "created_at"),
)

sign_outs = Table(
    "sign_outs",
    metadata,
    Column("person", word(128), primary_key=True),
    Column("at", BigInteger, nullable=False, doc="tokens issued until then are refused"),
    Index("sign_outs_by_age", "at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("conversation_id", word(64), primary_key=True),
    Column("offset", Integer, primary_key=True, autoincrement=False, doc="of the reply to send"),
    Column("asked_at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False, doc="how often it was taken"),
    Column("owner", word(255), nullable=False, doc="who took it last"),
    Column("lent", Boolean, nullable=False),
    Column("due_at", BigInteger, nullable=False, doc="it may be taken then, lent or not"),
    Index("outbox_by_due", "due_at"),
)

outgoing_parts = Table(
    "outgoing_parts",
    metadata,
    Column("conversation_id", word(64), primary_key=True),
    Column("offset", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", word(16), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("provider_id", word(128)),
    Column("code", word(64)),
)

receipts = Table(
    "receipts",
    metadata,
    Column("channel", word(32), primary_key=True),
    Column("provider_id", word(128), primary_key=True),
    Column("status", word(16), nullable=False),
    Column("code", word(64)),
    Column("at", BigInteger, nullable=False),
    Index("receipts_by_age", "at"),
)

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("person", word(128), primary_key=True),
    Column("channel", word(32), primary_key=True),
    Column("at", BigInteger, nullable=False, doc="when it was said"),
    Column("ended_by", word(64), doc="the text that ended the opt-out, empty if there was none; null: it holds"),
    Column("begun_by", word(64), doc="the text that began the opt-out; null: none did"),
    Column("heard", prose(), doc="JSON: of the person's last words, the ids of their texts"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", word(255), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False, doc="it may be forgotten then"),
    Index("accounts_by_age", "until"),
)

assistant_versions = Table(
    "assistant_versions",
    metadata,
    Column("name", word(64), primary_key=True),
    Column("id", word(64), primary_key=True, doc="SHA-256 of the body"),
    Column("body", prose(), nullable=False, doc="canonical JSON"),
    Column("created_at", BigInteger, nullable=False),
)

assistant_moves = Table(
    "assistant_moves",
    metadata,
    Column("name", word(64), primary_key=True),
    Column("stage", word(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, doc="the highest that is not undone holds"),
    Column("version", word(64), nullable=False),
    Column("provider_id", word(128)),
    Column("moved_at", BigInteger, nullable=False),
    Column("undone", Boolean, nullable=False),
)

writers = Table(
    "writers",
    metadata,
    Column("id", word(32), primary_key=True),
    Column("done", BigInteger, nullable=False, doc="number of its newest transaction"),
    Column("at", BigInteger, nullable=False, doc="when that was"),
    Index("writers_by_age", "at"),
)
