"""One file for each model architecture: what runs its forward passes."""
