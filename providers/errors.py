"""What can go wrong with a provider. Each class answers three questions:

- ``retry``: may the same request go out again by itself?
- ``maybe_taken``: could the provider have taken the message although we have no answer?
- ``str(error)``: what does the operator read?

``scope`` says what it concerns: this ``message``, this ``request`` as written, or the whole ``account``.

    ProviderError
    ├── Unreachable          no connection was made                       retry
    ├── RateLimited          429                                          retry after a while
    ├── Unavailable          503, or the provider asks us to come back    retry after a while
    ├── Uncertain            the request left, no usable answer came      maybe taken, never retried
    │   └── BadAnswer        HTML, nothing or nonsense instead of the documented answer
    ├── WrongAddress         account: a redirect, or no such API at the base URL
    ├── KeyRefused           account: the key is wrong or inactive
    ├── NoCredits            account: the balance is empty
    ├── Rejected             the provider refused this message or request
    │   ├── InvalidNumber
    │   ├── TextTooLong
    │   ├── InvalidRequest   a parameter is missing or malformed
    │   └── NotFound
    ├── Unsupported          this kind's wire cannot say it; nothing was sent
    └── BadCallback          a post to our callback that we cannot accept
        └── BadSignature
"""

from __future__ import annotations

from typing import ClassVar

from .types import Feature, RateState


class ProviderError(Exception):
    """Base of all. ``code`` is the wire's own code, or ours where the wire has none."""

    retry: ClassVar[bool] = False
    maybe_taken: ClassVar[bool] = False
    scope: ClassVar[str] = "request"
    default_code: ClassVar[str] = "error"
    default_text: ClassVar[str] = "The provider reported an error."

    def __init__(self, text: str = "", *, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(text or self.default_text)
        self.code = code or self.default_code
        self.retry_after = retry_after  # seconds


class Unreachable(ProviderError):
    retry = True
    default_code = "unreachable"
    default_text = "The provider could not be reached. Nothing was sent; smsdash tries again."


class RateLimited(ProviderError):
    """429. ``retry_after`` in seconds where the provider said so; ``state`` as its headers told."""

    retry = True
    scope = "account"
    default_code = "rate_limited"
    default_text = "The provider's rate limit is reached. Sending goes on when it resets."

    def __init__(
        self, text: str = "", *, code: str = "", retry_after: float | None = None, state: RateState | None = None
    ) -> None:
        super().__init__(text, code=code, retry_after=retry_after)
        self.state = state


class Unavailable(ProviderError):
    retry = True
    scope = "account"
    default_code = "unavailable"
    default_text = "The provider is out of service for the moment. Nothing was sent; smsdash tries again."


class Uncertain(ProviderError):
    maybe_taken = True
    default_code = "no_answer"
    default_text = "The request left, but no answer came back. The provider may have taken the message."


class BadAnswer(Uncertain):
    default_code = "bad_answer"
    default_text = "The provider's answer could not be understood. It may have taken the message."


class WrongAddress(ProviderError):
    scope = "account"
    default_code = "wrong_address"
    default_text = "There is no such API at this address. Check the account's base URL."


class KeyRefused(ProviderError):
    scope = "account"
    default_code = "key_refused"
    default_text = "The provider refused the key. Check the account's credentials."


class NoCredits(ProviderError):
    scope = "account"
    default_code = "no_credits"
    default_text = "The account has no credits left. Top it up at the provider, then resume."


class Rejected(ProviderError):
    scope = "message"
    default_code = "rejected"
    default_text = "The provider refused the message."


class InvalidNumber(Rejected):
    default_code = "invalid_number"
    default_text = "The provider does not accept this phone number."


class TextTooLong(Rejected):
    default_code = "text_too_long"
    default_text = "The text is longer than the provider accepts."


class InvalidRequest(Rejected):
    default_code = "invalid_request"
    default_text = "A parameter is missing or malformed."


class NotFound(Rejected):
    default_code = "not_found"
    default_text = "There is nothing at this address or with this id."


class Unsupported(ProviderError):
    default_code = "unsupported"
    default_text = "This kind of account cannot do that."

    def __init__(self, text: str = "", *, code: str = "", feature: Feature | None = None) -> None:
        super().__init__(text or (f"This kind of account cannot do that ({feature})." if feature else ""), code=code)
        self.feature = feature


class BadCallback(ProviderError):
    default_code = "bad_callback"
    default_text = "The posted data could not be understood."


class BadSignature(BadCallback):
    default_code = "bad_signature"
    default_text = "The signature is missing or does not match."
