"""Runs a command on a terminal of its own, waits for a word of its output, types keys, and says how the command ended.

    detach.py WORD KEYS PROGRAM ARGUMENTS...       KEYS as Python writes bytes: \\x18x
"""

import os, pty, select, sys, time

word, keys = sys.argv[1].encode(), sys.argv[2].encode().decode("unicode_escape").encode("latin1")
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[3], sys.argv[3:])
shown, typed, end = b"", False, time.monotonic() + 60
while time.monotonic() < end:
    if not select.select([terminal], [], [], 1)[0]:
        continue
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if word in shown and not typed:
        os.write(terminal, keys)
        typed = True
else:
    os.kill(child, 9)
_, status = os.waitpid(child, 0)
print(shown.decode(errors="replace"))
print("ended with", os.waitstatus_to_exitcode(status))
