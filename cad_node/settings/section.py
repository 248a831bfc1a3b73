"""What the sections are made of: their base, and the types that several of them use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# PS3.5 table 6.2-1, VR AE: at most 16 characters, no backslash, no control characters.
AeTitle = Annotated[
    str,
    Field(
        min_length=1,
        max_length=16,
        pattern=r"^[\x21-\x5B\x5D-\x7E]([\x20-\x5B\x5D-\x7E]*[\x21-\x5B\x5D-\x7E])?$",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """What every section is: frozen, and without a key that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def check_pair(certificate: Path | None, key: Path | None) -> None:
    """Refuse a certificate without its key, and a key without its certificate."""
    if (certificate is None) is not (key is None):
        raise ValueError("tls_certificate and tls_key go together; one of them is missing")
