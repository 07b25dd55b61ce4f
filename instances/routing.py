from django.urls import path

from .consumers import LiveConsumer, LogConsumer

websocket_urlpatterns = [
    path("ws/live/", LiveConsumer.as_asgi()),
    path("api/models/ws/logs/<int:instance_id>", LogConsumer.as_asgi()),
]
