"""Rosbags as recordings, read and written with no ROS installed; a damaged one gives what of it can be read."""
