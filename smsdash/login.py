"""Logging in: django-allauth's view and rate limits, with sign-up closed; and a new password for whoever is logged in.

A password that is forgotten is set anew by an administrator: nothing is sent by mail.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.views import LoginView
from django.contrib import messages
from django.contrib.auth.password_validation import password_validators_help_texts
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy
from django.utils.translation import gettext as _

from api import access


class ClosedAdapter(DefaultAccountAdapter):
    """People are added by an administrator; nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that the rate limits count by: the one that API keys are held to."""
        return access.address_of(request) or super().get_client_ip(request)


class Login(LoginView):
    """The login page. Scripts may post the customary ``username`` in place of ``login``."""

    template_name = "smsdash/login.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "login" not in request.POST and "username" in request.POST:
            request.POST = request.POST.copy()
            request.POST["login"] = request.POST["username"]
        return super().post(request, *args, **kwargs)


class Password(PasswordChangeView):
    """One's own. All other sessions of this person end."""

    template_name = "smsdash/password.html"
    success_url = reverse_lazy("overview")

    def get_form(self, form_class: Any = None) -> Any:
        """With its help in sentences, not as a list."""
        form = super().get_form(form_class)
        form.fields["new_password1"].help_text = " ".join(password_validators_help_texts())
        return form

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, _("Your password is changed. You are logged out everywhere else."))
        return super().form_valid(form)
