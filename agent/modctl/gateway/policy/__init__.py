"""Who may do what: a TOML file of the service's owner, and the decision that it comes to for one call.

    verbs       what can be asked for, and which role may
    model       the policy as data, and the one that holds without a file
    callers     who asks, and how that is known
    lines       where in a TOML text a key stands
    reading     values out of a TOML document, every problem with its line
    parse       from text to a policy
    decide      policy, caller, request -> allowed, or every reason why not: pure
    files       the files in force, read again when they change
    rate        how often changes may come
    requests    what a message of modctl.v1 asks for, in the words of verbs

Only `files` looks at a disk; only `requests` knows messages.
"""
