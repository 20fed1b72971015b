"""Configuration handed to a custom model."""
