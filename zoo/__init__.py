"""Models come from here: darknet files or the catalog in, versions in the models folder out. Runs before serving."""
