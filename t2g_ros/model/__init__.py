"""The Time2General network as two pure functions: encode a frame once, decode a clip of cached features."""
