"""Pictures, depth and segmentation of a task, and what may be changed about its looks."""

CAMERA_SIZE = 256
"""Side of the camera's picture that policies are for, in pixels."""
