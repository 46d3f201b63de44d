"""The shield where frameworks have their own units of work. Each module imports its framework when it is asked to."""
