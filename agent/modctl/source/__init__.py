"""What source text says: statements, the names they read and write, how two versions differ, and their compiled code.

    names ← statements ← comparison ← plan          codes ← plan

Pure: text in, facts out. Standard library only, no live object is looked at, so that a gateway can do it once per
host and ship the result. The unit is the top-level statement, an idea of jurigged's and of Lisp images: what did
not change is not run again.
"""
