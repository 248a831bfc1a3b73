"""What the sections are made of: their base, and the types that several of them use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

# PS3.5 table 6.2-1, VR AE: at most 16 characters, no backslash, no control characters.
_AE_TITLE: Final = r"^[\x21-\x5B\x5D-\x7E]([\x20-\x5B\x5D-\x7E]*[\x21-\x5B\x5D-\x7E])?$"
NAME: Final = r"^[A-Za-z0-9_-]{1,64}$"
NAME_WITH_DOTS: Final = r"^[A-Za-z0-9_.-]{1,64}$"
DEVICE: Final = r"^(cpu|cuda(:\d+)?)$"
LANGUAGE: Final = r"^[a-z]{2}(-[A-Z]{2})?$"
# PS3.16 CID 7010; a code value of its own making is allowed.
TITLE_CODE: Final = r"^[A-Za-z0-9._-]{1,16}$"
HOST_NAME: Final = r"^[A-Za-z0-9_]([A-Za-z0-9_.:-]{0,252}[A-Za-z0-9_])?$"

# What an operator is told in place of each of them.
PATTERNS: Final = {
    _AE_TITLE: "must be an AE title: ASCII without backslash, no space at either end",
    NAME: "may hold 1 to 64 letters, digits, - and _",
    NAME_WITH_DOTS: "may hold 1 to 64 letters, digits, dots, - and _",
    DEVICE: "must be cpu, cuda, or one of several as cuda:1",
    LANGUAGE: "must be a language such as en, or pt-BR",
    TITLE_CODE: "must be a code value: 1 to 16 letters, digits, dots, - and _",
    HOST_NAME: "must be a host name or an IP address",
}

AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=_AE_TITLE)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """What every section is: frozen, and without a key that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def check_pair(certificate: Path | None, key: Path | None) -> None:
    """Refuse a certificate without its key, and a key without its certificate."""
    if (certificate is None) is not (key is None):
        raise ValueError("tls_certificate and tls_key go together; one of them is missing")
