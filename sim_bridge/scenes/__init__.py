"""A task with its perturbations: what is shown of it, and the masks that the simulator has."""

MASKS = ("oracle", "oracle+noise", "none", "black")
"""What masks a simulation gives by itself; :mod:`sim_bridge.scenes.views` makes them."""
