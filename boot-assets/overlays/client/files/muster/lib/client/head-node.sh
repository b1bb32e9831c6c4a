# Head node: when to ask it, and what it is told. Times are seconds since the kernel started.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

# interval: seconds between two runs.
interval() {
  _interval=$(setting runtimeInterval)
  case $_interval in
    '' | *[!0-9]*) echo 60 ;;
    *) echo "$_interval" ;;
  esac
}

# may_ask: not while a pause lasts that the head node or a failure asked for.
may_ask() {
  [ "$(now)" -ge "$(kept_number wait)" ]
}

# postpone: after a failure; for a random part of a time that doubles with each, so that nodes which failed together do not
# come back together. A head node that says how long is obeyed.
postpone() {
  _failures=$(($(kept_number failures) + 1))
  keep failures "$_failures"
  case ${RETRY_AFTER:-} in
    '' | *[!0-9]* | ??????*)
      _most=$(interval)
      while [ "$_failures" -gt 0 ] && [ "$_most" -lt 900 ]; do
        _most=$((_most * 2))
        _failures=$((_failures - 1))
      done
      _delay=$(random 0 "$_most")
      ;;
    *)
      _delay=$RETRY_AFTER
      [ "$_delay" -le 3600 ] || _delay=3600
      _delay=$((_delay + $(random 0 $((_delay / 2 + 1)))))
      ;;
  esac
  keep wait "$(($(now) + _delay))"
}

# settle: after a run that went well, or whose failure is known: TROUBLE, FAILURE, ACTION_FAILURE and LACKING say.
settle() {
  if [ -n "${TROUBLE:-}${FAILURE:-}" ]; then
    postpone
  else
    rm -f "$STATE/failures" "$STATE/wait"
  fi
  _failure=${FAILURE:-${TROUBLE:-${ACTION_FAILURE:-${LACKING:-}}}}
  if [ -z "$_failure" ]; then
    [ ! -e "$STATE/failure" ] || say 'all is well again'
    rm -f "$STATE/failure"
  elif [ "$_failure" != "$(kept failure)" ] || [ "${VERBOSE:-no}" = yes ]; then
    say "failed: $_failure"
    keep failure "$_failure"
  fi
}

# tell_ready: once a boot, until it is taken. Nothing is left to be told with the ticket then, when there is a token.
tell_ready() {
  if [ -e "$STATE/ready" ]; then
    [ ! -s "$MUSTER_RUN/token" ] || rm -f "$MUSTER_RUN/ticket"
    return 0
  fi
  send_report ready
  case $? in
    0)
      : >"$STATE/ready"
      [ ! -s "$MUSTER_RUN/token" ] || rm -f "$MUSTER_RUN/ticket"
      next_alive
      ;;
    # Asked the same in the same way it would say no for ever, unless another token helps.
    2) [ "$STATUS" = 401 ] || : >"$STATE/ready" ;;
    *) return 1 ;;
  esac
}

next_alive() {
  keep alive "$(($(now) + $(random 450 750)))"
}

# tell_failure: what somebody has to mend, once; what time mends is not worth an event, and could mostly not be told.
tell_failure() {
  _failure=${FAILURE:-${ACTION_FAILURE:-${LACKING:-}}}
  if [ -z "$_failure" ]; then
    [ -n "${TROUBLE:-}" ] || rm -f "$STATE/told"
  elif [ "$_failure" != "$(kept told)" ]; then
    ! send_report failed "message=$_failure" || keep told "$_failure"
  fi
}

# tell_alive: about every ten minutes, and at once when a failure is over.
tell_alive() {
  _failure=$(kept failure)
  if [ "$(now)" -ge "$(kept_number alive)" ] || { [ -z "$_failure" ] && [ -e "$STATE/failing" ]; }; then
    if [ -n "$_failure" ]; then
      send_report alive "failure=$_failure" && : >"$STATE/failing"
    else
      send_report alive && rm -f "$STATE/failing"
    fi && next_alive
  fi
}
