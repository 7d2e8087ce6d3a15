"""What goes back to where the images came from: a folder of predictions, DICOM structured reports."""
