"""gRPC-Web: browsers, which see no trailers, call gRPC services.

``bridge`` is the plugin behind the location key ``grpc_web``; ``content_type`` knows the names of the
protocol, ``text`` its base64 mode, ``answer`` its bodies with the trailers at their end. The protocol
is that of ``doc/PROTOCOL-WEB.md`` in the repository of grpc; "the spec" means that file. Nothing is
imported here: pingap loads the plugin only if a configuration has the key.
"""
