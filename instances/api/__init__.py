"""The JSON API, a module for each thing that it is about."""
