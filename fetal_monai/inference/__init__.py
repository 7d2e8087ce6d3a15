"""From one frame to a calibrated prediction."""
