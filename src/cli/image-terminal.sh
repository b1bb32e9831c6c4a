#!/bin/sh
# image-terminal.sh COMMAND ARGUMENT…
# Runs a command as the job that owns the terminal and takes the terminal back when it has ended. Who runs in a PID
# namespace of its own cannot give it back: the process group that had it before has no number there.
set -m
"$@"
status=$?
# Ctrl-Z stops the job, but not who waits for this script, so that nobody could wake it: it goes on.
while kill -0 %% 2>/dev/null; do
  fg >/dev/null
  status=$?
done
exit "$status"
