from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from . import setup_token
from .models import User


class SetupForm(forms.Form):
    """The first administrator: the token from the terminal, a name and a password."""

    token = forms.CharField(label=_("One-time token"), max_length=40)
    username = forms.CharField(
        label=_("User name"), max_length=150, validators=[User.username_validator], strip=True
    )
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(render_value=True)
    )

    def clean_token(self) -> str:
        token: str = self.cleaned_data["token"]
        if not setup_token.matches(token):
            raise ValidationError(
                _(
                    "This is not the token. It has three groups, like ABCD-1234-EFGH, and stands in the terminal."
                )
            )
        return token

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=username).exists():
            raise ValidationError(_("This name is taken. Choose another one."))
        return username

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if password := cleaned.get("password"):
            try:
                validate_password(password, User(username=cleaned.get("username", "")))
            except ValidationError as error:
                self.add_error("password", error)
        return cleaned


class KeyForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100)
