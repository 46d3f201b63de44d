"""One small process per service instance: all gRPC, TLS, routing and compiling, out of the service's way.

    main        the process: lock, socket, log, then everything else
    footprint   what the process may take from the machine
    strangers, turnstile, own_sockets   what who has not said who he is may take of it, and how he is held to that
    gateway     the object: presence, listeners, services, life
    claim       gateway.lock, agent.sock, gateway.json: what makes this gateway the one of its instance
    life        when to leave
    connection  frames to and from one agent
    presence    who is connected
    routing     which processes a call is about
    rpc         one call: identity, limits, processes, answers, errors
    module_service, agent_service, health   what is served
    listing, rows, states                   ListModules and what is on disk
    validation, changes, packages, archives, sources, compiler   from a request to code that agents can use
    listener, listeners, addresses, tokens, tls                  where it is served, and to whom
    guard       between a request and whatever does it: policy/ (who may what), signatures, limits, freezer
    attempts, trails, audit_service   what audit/ writes around every change
    security    these put together

Imports modctl.v1, modctl.local and grpc; never modctl.agent or modctl.client. It never holds a module of the service.
"""
