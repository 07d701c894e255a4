"""The streaming form of the network: clip memory, segmenter, stability. Knows neither ROS nor training."""
