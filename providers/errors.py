"""What can go wrong with a provider. Each class answers three questions:

- ``retry``: may the same request go out again by itself?
- ``maybe_taken``: could the provider have taken the message although we have no answer?
- ``error.sentence``: what does the operator read? ``str(error)`` alone is what happened, maybe in the provider's words.

``scope`` says what it concerns: this ``message``, this ``request`` as written, or the whole ``account``.

    ProviderError
    ├── Unreachable          no connection was made                       retry
    ├── RateLimited          429                                          retry after a while
    ├── Unavailable          503, or the provider asks us to come back    retry after a while
    ├── TooLate              we stood still; nothing was sent             retry
    ├── Uncertain            the request left, no usable answer came      maybe taken, never retried
    │   └── BadAnswer        HTML, nothing or nonsense instead of the documented answer
    ├── WrongAddress         account: a redirect, or no such API at the base URL
    ├── KeyRefused           account: the key is wrong or inactive
    ├── NoCredits            account: the balance is empty
    ├── Rejected             the provider refused this message or request
    │   ├── InvalidNumber
    │   ├── TextTooLong
    │   ├── OptedOut        the recipient asked for no messages
    │   ├── InvalidRequest   a parameter is missing or malformed
    │   └── NotFound
    ├── Unsupported          this kind's wire cannot say it; nothing was sent
    └── BadCallback          a post to our callback that we cannot accept
        └── BadSignature
"""

from __future__ import annotations

from typing import ClassVar

from .types import Feature, RateState

QUOTED = 160  # characters of a provider's sentence
_INNER = str.maketrans("“”", "‘’")


class ProviderError(Exception):
    """Base of all. ``code`` is the wire's own code, or ours where the wire has none."""

    retry: ClassVar[bool] = False
    maybe_taken: ClassVar[bool] = False
    scope: ClassVar[str] = "request"
    default_code: ClassVar[str] = "error"
    default_text: ClassVar[str] = "The provider reported an error."
    advice: ClassVar[str] = ""  # what to do about it, or what smsdash does; a default text may end in it

    quoted = False  # the text is in the provider's own words

    def __init__(self, text: str = "", *, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(text or self.default_text)
        self.code = code or self.default_code
        self.retry_after = retry_after  # seconds

    @property
    def sentence(self) -> str:
        """What happened and what to do about it, in whole sentences."""
        said = quote(str(self)) if self.quoted else str(self)
        return said if self.advice in said else f"{said} {self.advice}"


def quote(text: str) -> str:
    """A provider's own words as a sentence, cut where they are many."""
    words = " ".join(text.split()).translate(_INNER)
    words = words if len(words) <= QUOTED else f"{words[:QUOTED]}…"
    return f"The provider says: “{words}”" + ("" if words.endswith((".", "!", "?", "…")) else ".")


class Unreachable(ProviderError):
    retry = True
    default_code = "unreachable"
    advice = "Nothing was sent; smsdash tries again."
    default_text = f"The provider could not be reached. {advice}"


class RateLimited(ProviderError):
    """429. ``retry_after`` in seconds where the provider said so; ``state`` as its headers told."""

    retry = True
    scope = "account"
    default_code = "rate_limited"
    advice = "Nothing was sent; smsdash goes on as soon as the provider allows it."
    default_text = f"The provider's rate limit is reached. {advice}"

    def __init__(
        self, text: str = "", *, code: str = "", retry_after: float | None = None, state: RateState | None = None
    ) -> None:
        super().__init__(text, code=code, retry_after=retry_after)
        self.state = state


class Unavailable(ProviderError):
    retry = True
    scope = "account"
    default_code = "unavailable"
    advice = Unreachable.advice
    default_text = f"The provider is out of service for the moment. {advice}"


class TooLate(ProviderError):
    """Says nothing of the provider, nor of the message."""

    retry = True
    scope = "account"
    default_code = "too_late"
    default_text = "smsdash stood still before it could hand this over. Nothing was sent; smsdash tries again."

    def __init__(self) -> None:
        super().__init__(retry_after=0.0)


class Uncertain(ProviderError):
    maybe_taken = True
    default_code = "no_answer"
    advice = "The provider may have taken the message."
    default_text = f"The request left, but no answer came back. {advice}"


class BadAnswer(Uncertain):
    default_code = "bad_answer"
    default_text = f"The provider's answer could not be understood. {Uncertain.advice}"


class WrongAddress(ProviderError):
    scope = "account"
    default_code = "wrong_address"
    advice = "Check the account's base URL."
    default_text = f"There is no such API at this address. {advice}"

    @classmethod
    def instead_of(cls, error: ProviderError) -> WrongAddress:
        """With the words of another error, which meant this."""
        meant = cls(str(error), code=error.code)
        meant.quoted = error.quoted
        return meant


class KeyRefused(ProviderError):
    scope = "account"
    default_code = "key_refused"
    advice = "Check the account's credentials."
    default_text = f"The provider refused the key. {advice}"


class NoCredits(ProviderError):
    scope = "account"
    default_code = "no_credits"
    advice = "Top the account up at the provider, then resume it."
    default_text = f"There are no credits left. {advice}"


class Rejected(ProviderError):
    scope = "message"
    default_code = "rejected"
    default_text = "The provider refused the message."
    advice = "Ask the provider why, then resend the message."


class InvalidNumber(Rejected):
    default_code = "invalid_number"
    default_text = "The provider does not accept this phone number."
    advice = "Correct the number, then write to it again."


class TextTooLong(Rejected):
    default_code = "text_too_long"
    default_text = "The text is longer than the provider accepts."
    advice = "Write a shorter one."


class OptedOut(Rejected):
    default_code = "opted_out"
    default_text = "This person opted out. Nobody writes to them until they opt in again."
    advice = "Write to them again once they opted in."


class InvalidRequest(Rejected):
    default_code = "invalid_request"
    default_text = "A parameter is missing or malformed."


class NotFound(Rejected):
    default_code = "not_found"
    default_text = "There is nothing at this address or with this id."


class Unsupported(ProviderError):
    default_code = "unsupported"
    default_text = "This kind of account cannot do that."
    advice = "Resend the message through another account."

    def __init__(self, text: str = "", *, code: str = "", feature: Feature | None = None) -> None:
        super().__init__(text or (f"This kind of account cannot do that ({feature})." if feature else ""), code=code)
        self.feature = feature


class BadCallback(ProviderError):
    default_code = "bad_callback"
    default_text = "The posted data could not be understood."


class BadSignature(BadCallback):
    default_code = "bad_signature"
    default_text = "The signature is missing or does not match."
