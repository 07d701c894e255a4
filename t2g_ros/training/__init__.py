"""Offline training: labelled clips in, `models/<name>.safetensors` out. Nothing outside this folder imports it."""
