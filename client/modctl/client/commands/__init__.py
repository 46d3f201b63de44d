"""One file for each verb: flags become one call of the fleet; sessions and printers do the rest."""
