"""From token ids to text: checkpoints, steps of a model, the choice of a token, and its characters."""
