"""What a training leaves behind: the saved model, checkpoints, the loss as a picture, the card, reports."""
