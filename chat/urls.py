from django.urls import path

from .views import answers, conversations, keys

urlpatterns = [
    path("chat/", conversations.newest, name="chat"),
    path("chat/new/", conversations.new, name="chat-new"),
    path("chat/send/", conversations.start, name="chat-send"),
    path("chat/<int:conversation_id>/", conversations.show, name="conversation"),
    path("chat/<int:conversation_id>/send/", answers.say, name="chat-send"),
    path("chat/<int:conversation_id>/delete/", conversations.delete, name="conversation-delete"),
    path("chat/<int:conversation_id>/answers/<int:answer_id>/stream", answers.stream, name="answer-stream"),
    path("chat/<int:conversation_id>/answers/<int:answer_id>/stop/", answers.stop, name="answer-stop"),
    path("chat/<int:conversation_id>/answers/<int:answer_id>/retry/", answers.retry, name="answer-retry"),
    path("keys/", keys.show, name="keys"),
    path("keys/make/", keys.make, name="key-make"),
    path("keys/<int:key_id>/revoke/", keys.revoke, name="key-revoke"),
]
