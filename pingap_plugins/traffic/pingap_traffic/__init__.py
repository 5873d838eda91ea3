"""Traffic for pingap: which upstream gets a request, copies of requests, and faults.

``buckets`` divides requests into shares, and ``stickiness`` finds the bucket of a client. They are used by
``traffic_splitting``, a plugin for any number of shares, and ``canary``, a plugin for two; ``step_back``
compares the error rates of these two. ``mirror`` sends copies of requests, which ``copies`` queues, and
``fault`` delays and aborts requests on purpose.
"""
