"""The HTTP interface: routes, streams, sockets and pages."""
