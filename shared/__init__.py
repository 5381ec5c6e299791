"""The contract between the HTTP side and the worker side. Imports neither; knows no arrays and no web framework."""
