"""The demo, and the end-to-end check behind it: a camera, the node and a recorder as three processes over DDS."""
