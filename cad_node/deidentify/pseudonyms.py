"""New names for patients, studies and images, all made by one secret.

Equal secrets give equal pseudonyms, so that later runs join earlier ones. Who
does not know the secret can neither undo a pseudonym nor test a guess; who
knows it can do the latter. It is kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cad_node.errors import SettingsError

SECRET_VARIABLE = "CADNODE_DEID_SECRET"  # noqa: S105  the name of the variable, not its content
# Guessing it must cost more than guessing Patient IDs.
SHORTEST_SECRET = 16

# Shifted dates lie one to ten years back: never in the future, and never at the true date.
_LEAST_DAYS, _MOST_DAYS = 366, 3650


class Pseudonyms:
    """Keyed, repeatable replacements.

    Parameters
    ----------
    secret
        What they are keyed by.

    Raises
    ------
    SettingsError
        The secret is so short that it could be guessed.

    Examples
    --------
    >>> names = Pseudonyms(b"a secret of some length")
    >>> names.uid("1.2.3") == names.uid("1.2.3") != names.uid("1.2.4")
    True
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise SettingsError(
                f"The secret in {SECRET_VARIABLE} is shorter than {SHORTEST_SECRET} characters.",
                "Give a longer one, such as the output of `openssl rand -hex 32`, and keep it safe.",
            )
        self._secret = secret

    def digest(self, purpose: str, *parts: str) -> bytes:
        """32 bytes that belong to `parts` for one purpose; borders between parts count."""
        keyed = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in (purpose, *parts):
            encoded = part.encode()
            keyed.update(len(encoded).to_bytes(8, "big") + encoded)
        return keyed.digest()

    def uid(self, uid: str) -> str:
        """The UID that stands for another one, in the 2.25 arc (PS3.5 B.2)."""
        return f"2.25.{int.from_bytes(self.digest('uid', uid)[:16], 'big')}"

    def patient(self, *identity: str) -> str:
        """The Patient ID and Name that stand for a patient: 16 letters and digits."""
        return base64.b32encode(self.digest("patient", *identity)[:10]).decode("ascii")

    def days_back(self, *identity: str) -> int:
        """By how many days the dates of a patient are moved into the past."""
        number = int.from_bytes(self.digest("days", *identity)[:8], "big")
        return _LEAST_DAYS + number % (_MOST_DAYS - _LEAST_DAYS + 1)
