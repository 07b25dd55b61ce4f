from django.apps import AppConfig


class LlmopsConfig(AppConfig):
    name = "llmops"
