"""Finished picture results -> the forms that other systems read, one file a form. Knows no HTTP, no store, no worker.

Each converter takes a picture that `succeeded` (its `image` and `detections` are set) and gives JSON-able values or
text. What a picture without an answer looks like in each form is said where pictures become a data set.
"""
