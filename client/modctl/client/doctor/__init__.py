"""`modctl doctor`: what is usually wrong, each with its cure.

findings      what was looked at and what was found
machine       this machine: packages, directories, sockets, the processes that ought to have an agent
certificates  files and servers of TLS
fleet         the targets: can they be reached, who are we there, what do they warn of
names         may these names be changed, and why not
"""
