"""What the agent, the gateway and the client of one machine agree on: where things lie and how frames look.

Standard library only: the agent, which lives in other people's processes, imports this.
"""
