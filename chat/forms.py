from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from instances.models import Instance

LONGEST_MESSAGE = 200_000  # characters


class MessageForm(forms.Form):
    """What a person says, and to which instance. Whether that one runs is found out when it is asked."""

    text = forms.CharField(
        max_length=LONGEST_MESSAGE,
        strip=False,
        error_messages={"required": _("Write something first.")},
    )
    instance = forms.ModelChoiceField(
        queryset=Instance.objects.none(),
        error_messages={
            "required": _("Choose a model that is running."),
            "invalid_choice": _("This model is no longer there. Choose another one."),
        },
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["instance"].queryset = Instance.objects.visible()  # type: ignore[attr-defined]

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")
        if not text.strip():
            raise forms.ValidationError(self.fields["text"].error_messages["required"])
        return text

    @property
    def sentence(self) -> str:
        """All errors in one line."""
        return " ".join(str(error) for errors in self.errors.values() for error in errors)
