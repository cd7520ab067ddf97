"""Backends: who turns a window of audio into tokens. Importing this loads no runtime."""
