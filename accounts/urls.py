from django.contrib.auth.views import LogoutView
from django.urls import path

from . import views

urlpatterns = [
    path("setup/", views.setup, name="setup"),
    path("accounts/login/", views.SignInView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
]
