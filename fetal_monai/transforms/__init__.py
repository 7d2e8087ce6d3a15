"""MONAI dictionary transforms for ultrasound frames."""
