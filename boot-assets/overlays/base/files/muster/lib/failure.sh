# Failure: every one is said, reported and answered as the node's setting onFailure wants it. Process 1 never ends: the
# kernel would panic, and nobody would learn why.

# tell KIND [KEY=VALUE…]: reports to the head node, bounded, and never a reason to stop. Once nobody has answered, only
# failures are told, so that a head node that is down costs the boot a few seconds and not a few for every step.
tell() {
  [ ! -e "$MUSTER_RUN/offline" ] || [ "$1" = failed ] || return 0
  bounded 8 "$MUSTER/report" "$@"
  case $? in
    1 | 124 | 143) : >"$MUSTER_RUN/offline" ;;
  esac
}

# fail TEXT…
fail() {
  say "failed: $*"
  tell failed "message=$*"
}

reboot_now() {
  say 'rebooting'
  sync
  echo b >/proc/sysrq-trigger
  # Still here: the kernel has no sysrq.
  if have reboot; then
    reboot -f
  fi
  say 'cannot reboot: please reset this machine'
  while :; do
    sleep 3600
  done
}

# open_shell: with job control where setsid can give it the console.
open_shell() {
  say 'a shell: mend what is wrong, then exit to try again'
  if have setsid && setsid -c true 2>/dev/null; then
    setsid -c /bin/sh -i </dev/console >/dev/console 2>&1
  else
    /bin/sh -i </dev/console >/dev/console 2>&1
  fi
}

# pause: random, so that a rack that failed together does not come back together.
pause() {
  _delay=$(random 15 45)
  say "$1 in $_delay s"
  sleep "$_delay"
}

# recover: what the admin wants after a failure. Returns when the same is to be tried again.
recover() {
  case $(setting onFailure) in
    retry) pause 'trying again' ;;
    shell) open_shell ;;
    *)
      pause 'rebooting'
      reboot_now
      ;;
  esac
}

# survive_exec: an exec that fails ends the shell. dash and busybox run the EXIT trap then; bash does not, unless it is
# told to go on after the exec.
survive_exec() {
  # shellcheck disable=SC3044 # only where the shell is bash
  [ -z "${BASH_VERSION:-}" ] || shopt -s execfail
}

# last_resort: the EXIT trap of process 1. Reached when a script of Muster ends where it must not, and when exec finds
# that what it checked cannot be executed after all.
last_resort() {
  trap - EXIT
  fail "${1:-process 1 ended}"
  [ "$(setting onFailure)" != shell ] || open_shell
  pause 'rebooting'
  reboot_now
}
