"""The version of modctl: the one place that has it. The build reads it from here, and so does a service that has no
time for importlib.metadata.
"""

VERSION = "0.1.0"
