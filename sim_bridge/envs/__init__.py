"""The simulated tasks as Gymnasium environments, one by one and side by side."""
