"""The same model in another arithmetic: `half` makes fp16 graphs, `int8` quantised ones. Each takes a model of the
contract and gives one of the same signature; how well it agrees is measured elsewhere.
"""
