"""What masks are judged by, each metric on its own; `replay.judge` puts them together."""
