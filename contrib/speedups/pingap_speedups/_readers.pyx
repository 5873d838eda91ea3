# cython: language_level=3
"""The readers of ``pingap/protocol/plain_heads.py``, compiled. That module defines which heads are plain,
and what is returned.

Python appends a NUL to all bytes objects, which is in none of the sets below and in no literal. So a loop
never gets past it, and neither does a comparison that stops at the first byte that does not fit.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memcmp

ctypedef const unsigned char* Text

cdef extern from "Python.h":
    int PyOS_strnicmp(const char*, const char*, Py_ssize_t) noexcept

cdef enum:  # sets of bytes
    UPPER = 1
    DIGIT = 2
    NAME = 4
    VISIBLE = 8
    VALUE = 16
    PATH = 32
    QUERY = 64
    HOST = 128

cdef unsigned char SETS[256]
"""The sets that each byte is in."""
cdef int LONGEST_HOST = 255 + len(":65535")
cdef int MOST_DIGITS = 18


def _fill_sets():
    upper, lower, digits = range(0x41, 0x5B), range(0x61, 0x7B), range(0x30, 0x3A)
    signs, beyond, letters = range(0x21, 0x7F), range(0x80, 0x100), {*upper, *lower, *digits}
    for number, members in (
        (UPPER, upper),
        (DIGIT, digits),
        (NAME, letters | {*b"-"}),
        (VISIBLE, signs),
        (VALUE, {*b"\t ", *signs, *beyond}),
        (PATH, letters | {*b"!$&'()*+,-.:;=@^_`{|}~"}),
        (QUERY, {*signs, *beyond} - {*b"\"#"}),
        (HOST, letters | {*b"!$&'()*+,-.;=_~"}),
    ):
        for byte in members:
            SETS[byte] |= number


_fill_sets()


cdef inline Text skip(Text place, unsigned char members) noexcept nogil:
    """Return the first place whose byte is in none of the given sets."""
    while SETS[place[0]] & members:
        place += 1
    return place


cdef inline Text after(Text place, const char* literal) noexcept nogil:
    """Return the place after an expected literal; NULL if it is not here."""
    while literal[0]:
        if place[0] != <unsigned char>literal[0]:
            return NULL
        place += 1
        literal += 1
    return place


cdef inline str text(Text start, Text end):
    return PyUnicode_DecodeLatin1(<const char*>start, end - start, NULL)


cdef inline bytes copy(Text start, Text end):
    return PyBytes_FromStringAndSize(<const char*>start, end - start)


cdef inline bytes lower(Text start, Text end):
    """Return the name of a field in lower case."""
    cdef bytes key = PyBytes_FromStringAndSize(NULL, end - start)
    cdef unsigned char* to = <unsigned char*>PyBytes_AS_STRING(key)
    while start != end:
        to[0] = start[0] | 0x20  # (which digits and dashes have already)
        to += 1
        start += 1
    return key


cdef inline bint is_key(bytes key, const char* name, Py_ssize_t size) noexcept:
    return PyBytes_GET_SIZE(key) == size and not memcmp(PyBytes_AS_STRING(key), name, size)


cdef inline bint is_notable(bytes key) noexcept:
    """Return whether a plain request must not have this field."""
    return (
        is_key(key, "connection", 10)
        or is_key(key, "content-length", 14)
        or is_key(key, "transfer-encoding", 17)
        or is_key(key, "expect", 6)
        or is_key(key, "x-retry-attempt", 15)
        or is_key(key, "x-pingap-plugin-timing", 22)
    )


cdef inline bytes read_field(Text start, Text* end, list keys, list lines):
    """Append the field that begins here; return its key and where it ends, or None if it is not plain."""
    cdef Text colon = skip(start, NAME)
    if colon == start or colon[0] != c":" or colon[1] != c" " or not SETS[colon[2]] & VISIBLE:
        return None
    end[0] = skip(colon + 2, VALUE)
    if end[0][-1] == c" " or end[0][-1] == c"\t":
        return None
    key = lower(start, colon)
    keys.append(key)
    lines.append(copy(start, end[0]))
    return key


cdef inline bint is_option(Text value, Text end, const char* name, Py_ssize_t size) noexcept:
    return end - value == size and not PyOS_strnicmp(<const char*>value, name, size)


cdef inline long long number(Text digit, Text end) noexcept nogil:
    cdef long long value = 0
    while digit != end:
        value = value * 10 + digit[0] - c"0"
        digit += 1
    return value


cdef str read_host(Text place, Text end):
    """Return the result of ``parse_host``, or None; escapes and IPv6 literals are rare and also give None."""
    cdef char host[262]
    cdef Py_ssize_t size = 0
    if end - place > LONGEST_HOST:
        return None
    while SETS[place[0]] & HOST:
        host[size] = place[0] | 0x20 if SETS[place[0]] & UPPER else place[0]
        if size and host[size] == c"." and host[size - 1] == c".":
            return None
        size += 1
        place += 1
    if place != end and (place[0] != c":" or end - place > 6 or skip(place + 1, DIGIT) != end):
        return None
    if size and host[size - 1] == c".":
        size -= 1
    return PyUnicode_DecodeLatin1(host, size, NULL) if size else None


def read_plain_request(bytes data not None):
    """Return method, target, path, query, host, keys and lines of a plain request; None for any other."""
    cdef Text start = data, end = start + max(len(data) - 4, 0)
    cdef Text method = skip(start, UPPER), path, query, target, line, place
    cdef list keys = [], lines = []
    cdef bytes key
    cdef str host = None, sent
    if after(end, "\r\n\r\n") == NULL or method == start or method[0] != c" ":
        return None
    path = method + 1
    if path[0] != c"/":
        return None
    while path[0] == c"/":
        if path[1] == c"/" or path[1] == c"." or path[1] == c";":
            return None
        path = skip(path + 1, PATH)
    query = target = path
    if path[0] == c"?":
        query = path + 1
        target = skip(query, QUERY)
    place = after(target, " HTTP/1.1")
    while place != NULL and place != end:
        line = after(place, "\r\n")
        if line == NULL or (key := read_field(line, &place, keys, lines)) is None:
            return None
        if is_key(key, "host", 4):
            if host is not None or (host := read_host(line + 6, place)) is None:
                return None
        elif is_notable(key):
            return None
    if place == NULL or host is None:
        return None
    sent = text(method + 1, target)
    return (
        text(start, method),
        sent,
        text(method + 1, path) if path != target else sent,
        text(query, target),
        host,
        keys,
        lines,
    )


def read_plain_response(bytes head not None):
    """Return status, reason, keys, lines, length, whether the connection stays open, and the length that
    ends the body (or -1) of a plain response; None for any other."""
    cdef Text start = head, end = start + len(head), line, place, value
    cdef list keys = [], lines = []
    cdef bytes key, reason = b""
    cdef int status
    cdef long long length = -1
    cdef bint reusable = True, coded = False, options = False
    place = after(start, "HTTP/1.")
    if place == NULL or place[0] == c"0" or skip(place, DIGIT) != place + 1 or place[1] != c" ":
        return None
    value = place + 2
    if value[0] == c"0" or skip(value, DIGIT) != value + 3:
        return None
    status = (value[0] - c"0") * 100 + (value[1] - c"0") * 10 + value[2] - c"0"
    place = value + 3
    if place[0] == c" ":
        place = skip(place + 1, VALUE)
        reason = copy(value + 4, place)
    while place != end:
        line = after(place, "\r\n")
        if line == NULL or (key := read_field(line, &place, keys, lines)) is None:
            return None
        value = line + len(key) + 2
        if is_key(key, "content-length", 14):
            if length >= 0 or place - value > MOST_DIGITS or skip(value, DIGIT) != place:
                return None
            length = number(value, place)
        elif is_key(key, "connection", 10):
            if options:
                return None
            options = True
            reusable = is_option(value, place, "keep-alive", 10)
            if not reusable and not is_option(value, place, "close", 5):
                return None
        elif is_key(key, "transfer-encoding", 17):
            coded = True
    return (
        status,
        reason,
        keys,
        lines,
        length if length >= 0 else None,
        reusable,
        -1 if coded or status < 200 or status == 204 or status == 304 else length,
    )
