"""How children ended, in words."""

from __future__ import annotations

from support.processes import run

ENDINGS = """
import os, resource, signal
from pingap.process.reap import reap
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
endings = [
    lambda: os._exit(0), lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL),
    lambda: os.kill(os.getpid(), signal.SIGRTMIN + 2 if hasattr(signal, "SIGRTMIN") else 9),
]
assert reap() == []
children = []
for ending in endings:
    child = os.fork()
    if not child:
        ending()
    children.append(child)
found = {}
while len(found) < len(children):
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    found.update((one.pid, one) for one in reap())
print(*(f"{found[child]} {found[child].cleanly}" for child in children), sep="\\n")
child = os.fork()
if not child:
    signal.pause()
print(reap())  # it waits for none
os.kill(child, signal.SIGTERM)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
print(*reap())
"""


def test_children_and_how_they_ended() -> None:
    code, out, err = run(ENDINGS)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == ["exited with 0 True", "exited with 3 False", "was killed by SIGKILL False"]
    assert lines[3] == "was killed by signal 36 False"
    assert lines[4:] == ["[]", "was killed by SIGTERM"]
