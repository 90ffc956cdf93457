"""Processes that convert parts, here or on other machines."""
