"""gRPC-Web: lets browsers, which cannot read trailers, call gRPC services.

``bridge`` is the plugin behind the location key ``grpc_web``; ``content_type`` defines the names of the
protocol, ``text`` its base64 mode, ``answer`` its bodies with the trailers at their end. The protocol is that
of ``doc/PROTOCOL-WEB.md`` in the grpc repository, called "the spec". Nothing is imported here: pingap loads
the plugin only if a configuration has the key.
"""
