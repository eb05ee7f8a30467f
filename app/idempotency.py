"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a name for one submission."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema

from app.errors import MalformedKey
from protocol.idempotency import Once

MAX_CHARS = 255
QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')  # RFC 9651, 3.3.3
BARE = re.compile(r"[!#-\[\]-~]+")
FIELD = r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-\[\]-~]{1,255})$'  # of both, for the document
REPLAYED = "Idempotency-Replayed"


@dataclass(frozen=True, slots=True)
class Named:
    """A submission with a name: what a client sent, and what it calls it."""

    name: str
    body: Any  # JSON: as parsed, or what stands for something else

    def once(self, tenant: str) -> Once:
        """As stored. Not before the body was found valid: one nested too deeply has no digest."""
        canonical = json.dumps(self.body, sort_keys=True, separators=(",", ":"))
        body_sha256 = hashlib.sha256(canonical.encode()).hexdigest()
        return Once.of(self.name, tenant=tenant, body_sha256=body_sha256)


async def _key(
    request: Request,
    _: Annotated[  # for the document: of several fields FastAPI would take the last
        str,
        WithJsonSchema({"type": "string", "pattern": FIELD}),
        Header(
            alias="Idempotency-Key",
            description="A name of your own for this submission, 255 characters at most, quoted or "
            "bare. For 24 hours the same body under the same key is the same job, not a second "
            "one: send it again whenever an answer was lost.",
            examples=['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
        ),
    ] = "",
) -> str | None:
    fields = request.headers.getlist("Idempotency-Key")
    return parse(fields) if fields else None


Key = Annotated[str | None, Depends(_key)]


async def _named(request: Request, key: Key) -> Named | None:
    return None if key is None else Named(key, await request.json())


IdempotencyKey = Annotated[Named | None, Depends(_named)]


def parse(fields: list[str]) -> str:
    """The key, without its quotes. Raises MalformedKey."""
    if len(fields) > 1:
        raise MalformedKey("There is more than one Idempotency-Key.")
    text = fields[0].strip()
    quoted = QUOTED.fullmatch(text)
    if quoted is None and not BARE.fullmatch(text):
        raise MalformedKey
    key = text if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1])
    if not 1 <= len(key) <= MAX_CHARS:
        raise MalformedKey(f"An Idempotency-Key has 1 to {MAX_CHARS} characters, not {len(key)}.")
    return key
