"""Spotter beside other ways to serve the same model: one server at a time, one load generator outside Python, the same
picture, graph, arithmetic and detections for all. `python -m bench.peers --help`; decision 10 has figures and settings.
"""
