"""What the log does not hold."""

from __future__ import annotations

import logging
from unittest import mock

import pytest
from django.test import Client

from messaging import callbacks


@pytest.mark.once
def test_an_error_of_a_callback_is_logged_without_its_token(caplog: pytest.LogCaptureFixture) -> None:
    with mock.patch.object(callbacks, "_look_up", side_effect=RuntimeError("a fault of ours")):
        answer = Client(raise_request_exception=False).post("/callbacks/very-secret-token/", {})
    assert answer.status_code == 500
    said = [record.getMessage() for record in caplog.records if record.name == "django.request"]
    assert said == ["Internal Server Error: /callbacks/…/"]
    assert "very-secret" not in logging.Formatter().format(caplog.records[-1])
