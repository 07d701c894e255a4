"""Recordings through models under conditions, judged into counts."""
