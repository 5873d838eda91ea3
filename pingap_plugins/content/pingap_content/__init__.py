"""What distributions share that change the content of messages: codings, media types, header fields.

A library, not a plugin: pingap itself does not know it. ``decoders`` and ``encoders`` are the content codings, with
limits on memory and on what may come out; ``heads`` changes the header fields of a response with another body;
``media_types`` has the sets of media types that operators write.
"""
