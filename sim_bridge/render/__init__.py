"""Pictures, depth and segmentation of a task, and what a perturbation may change in them."""

CAMERA_SIZE = 256
"""Side of the camera's picture that policies are for, in pixels."""
