"""MONAI Label for fetal planes: suggest, correct and learn from classes of ultrasound frames.

`fetal-monai label --studies DIR|DICOMWEB_URL [--model DIR]` starts it; see docs/label.md.
"""
