"""What is kept of a replay frame by frame: timeline, worst moments, overlay video, bag of masks."""
